"""The servers and the model that come as wheels: real programs, so that nothing has to be installed."""
