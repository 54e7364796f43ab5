#!/bin/sh
# check_torch.sh [ARG...] - references and golden vectors against tools/oracle.py, run by the first
# Python that has PyTorch, else by one that has NumPy. Called by `make check-torch`.
set -eu
for module in torch numpy; do
    for python in ${PYTHON:-} python3 /usr/bin/python3; do
        if "$python" -c "import numpy, $module" 2>/dev/null; then
            "$python" tools/oracle.py --check-golden
            exec "$python" tools/oracle.py "$@"
        fi
    done
done
echo "check-torch: no Python here has PyTorch or NumPy; make setup installs python3-numpy" >&2
exit 4
