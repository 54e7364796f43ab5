"""Case ids: op/shape/dtype[/key=value...], of values that are not the default."""


class Unknown(Exception):
    """Something that the second implementation has not: a key, a word, an op."""


class Case:
    def __init__(self, text, defaults):
        self.id = text
        op, shape, dtype, *pairs = text.split("/")
        if op not in defaults:
            raise Unknown("the oracle knows no op " + op)
        self.op, self.dtype = op, dtype
        self.shape = [int(n) for n in shape.split("x")]
        self.set = dict(defaults[op])
        for pair in pairs:
            key, value = pair.split("=", 1)
            if key == "fill":
                continue
            if key not in self.set:
                raise Unknown("the oracle knows no parameter " + key)
            self.set[key] = self.value(self.set[key], value)

    @staticmethod
    def value(default, text):
        if isinstance(default, list):
            return [int(n) for n in text.split("+")]
        return type(default)(text)

    def __getitem__(self, key):
        return self.set[key]

    def word(self, key, *words):
        """A parameter that is one of these words."""
        if self.set[key] not in words:
            raise Unknown("the oracle knows no %s=%s" % (key, self.set[key]))
        return self.set[key]
