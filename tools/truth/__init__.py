"""What ops compute, a second time: from their definitions, not from src/.

numbers.py       dtypes, rounding, elementary functions in fp64, by PyTorch or by NumPy
files.py         safetensors files, read and written
cases.py         case ids, taken apart
answers.py       what an op says of an output, and how it is held against the reference
activation.py, attention.py, mma.py, qknorm.py, quant.py, routing.py, stream.py   the ops
golden.py        small files of inputs and answers, for reports/golden/vectors/
"""
