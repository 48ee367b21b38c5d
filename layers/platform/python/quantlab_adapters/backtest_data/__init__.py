"""Files of quotes and bars as the records of integers a backtest takes."""
