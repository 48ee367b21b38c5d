"""What a backtest by hand needs of the configuration folder."""
