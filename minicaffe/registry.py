"""Things by the type names that prototxt files use."""

from .errors import unknown


class Registry(dict):
    """name -> layer class, solver class or filler; `what` they are called in errors."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def register(self, name):
        """Decorator: enter a class (whose `type` it becomes) or a function under that name."""
        def decorate(item):
            if isinstance(item, type):
                item.type = name
            self[name] = item
            return item
        return decorate

    def find(self, name, error, where=""):
        """The thing of that name; an unknown one raises `error`, with `where` before it."""
        if name not in self:
            raise error(where + unknown(self.what, name, self))
        return self[name]
