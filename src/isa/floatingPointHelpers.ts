import { executeFloat } from './floatingPointExact.js';

/** The helpers of floating-point semantics that engines import from JavaScript, under the names semantics call them by. */
export interface FloatingPointHelpers {
  floatSlow(operation: number, rm: number, a: bigint, b: bigint, c: bigint): bigint;
  floatFlags(): number;
}

/**
 * Makes the imported helpers of one engine: the exact slow path (floatingPointExact), and the flags that the last call of it raised. i64
 * arguments arrive as signed BigInts and are registers.
 */
export function floatingPointHelpers(): FloatingPointHelpers {
  const status = { flags: 0 };
  const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value);
  return {
    floatSlow(operation, rm, a, b, c) {
      status.flags = 0;
      return executeFloat(operation, rm, unsigned(a), unsigned(b), unsigned(c), status);
    },
    floatFlags: () => status.flags,
  };
}
