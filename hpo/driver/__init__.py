"""The driver: ask -> plan -> train -> tell, until the budget is spent."""

from hpo.driver.loop import Driver as Driver
