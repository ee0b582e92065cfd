"""A base, its head and its adapters; which parameters train; writing text."""

import logging

# Imported by peft, bitsandbytes warns that a kernel which it would fetch from the network is not there. Nothing here
# asks for it: it multiplies by 4-bit weights in bfloat16, and model/quantized.py unpacks them before a product.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
