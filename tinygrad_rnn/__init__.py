from .ops import *
from .tape import *
