"""How the bundled generative base is made: its text, its tokenizer, its folder. Not part of the installed package."""
