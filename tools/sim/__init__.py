"""The real driver with simulated workers, in virtual time: how much engines idle, what the driver costs, what deaths lose."""
