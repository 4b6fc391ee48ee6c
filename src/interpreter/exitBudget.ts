/** run's result when its budget is used up: enter it again. Never seen outside the interpreter. */
export const EXIT_BUDGET = 0;
