"""What any script, command or notebook uses to be recorded: experiments and decorators."""
