"""What a run would trip over, looked at beforehand: the machine, params and what they name, stores, git and DVC.

Nothing is written and nobody is asked over the network, unless the user wants the latter.
"""
