import { type F64, f64, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Helper } from './builder.js';
import { NX, OF, roundToIntegral, UF } from './floatingPointIntegral.js';

/**
 * Between binary16 and binary64, in which all arithmetic of binary16 is done: a double holds sums and products of two halves
 * exactly, and quotients and roots of halves so closely that rounding them once more is right in every mode (the double
 * is a half, or lies in the middle of two, only when it is exact: it has more than 2 × 11 + 2 bits).
 */

export const CANONICAL_NAN_16 = 0x7e00;
const INFINITY_16 = 0x7c00;
const LARGEST_16 = 0x7bff;
const LEAST_NORMAL = 2 ** -14;

/** (pattern in the low 16 bits) → its value. NaNs become some NaN. */
export const halfToDouble: Helper<'f64'> = {
  name: 'halfToDouble',
  params: ['i32'],
  result: 'f64',
  define(f) {
    const bits = f.param('i32', 0);
    const magnitude = f.hold(i32.and(bits, i32.const(0x7fff)));
    const sign = f.hold(i64.shl(i64.extend_i32_u(i32.and(bits, i32.const(0x8000))), i64.const(48)));
    const signed = (value: F64): F64 => f64.reinterpret_i64(i64.or(i64.reinterpret_f64(value), sign));
    f.if(i32.lt_u(magnitude, i32.const(0x0400)), () =>
      f.return(signed(f64.mul(f64.convert_i32_u(magnitude), f64.const(2 ** -24)))),
    );
    f.if(i32.gt_u(magnitude, i32.const(INFINITY_16)), () => f.return(f64.const(Number.NaN)));
    f.if(i32.eq(magnitude, i32.const(INFINITY_16)), () => f.return(signed(f64.const(Infinity))));
    // The exponent's bias grows from 15 to 1023.
    const widened = i64.add(
      i64.shl(i64.extend_i32_u(magnitude), i64.const(42)),
      i64.const(BigInt(1023 - 15) << 52n),
    );
    f.return(f64.reinterpret_i64(i64.or(widened, sign)));
  },
};

/** (value, rounding mode 0 … 4) → pattern, and the flags raised in bits 16 and up. NaN gives the canonical one and no flag. */
export const halfFromDouble: Helper<'i32'> = {
  name: 'halfFromDouble',
  params: ['f64', 'i32'],
  result: 'i32',
  define(f, use) {
    const x = f.param('f64', 0);
    const rm = f.param('i32', 1);
    const sign = f.hold(
      i32.wrap_i64(i64.and(i64.shr_u(i64.reinterpret_f64(x), i64.const(48)), i64.const(0x8000))),
    );
    const magnitude = f.hold(f64.abs(x));
    f.if(f64.ne(x, x), () => f.return(i32.const(CANONICAL_NAN_16)));
    f.if(f64.eq(magnitude, f64.const(0)), () => f.return(sign));
    f.if(f64.eq(magnitude, f64.const(Infinity)), () => f.return(i32.or(sign, i32.const(INFINITY_16))));
    const bits = f.local('i32');
    const flags = f.local('i32');
    /** x in units of 2^−scale, rounded: at most 11 significant bits. */
    const inUnits = (power: F64): F64 => f.hold(use(roundToIntegral, f64.mul(x, power), rm));
    f.if(
      f64.lt(magnitude, f64.const(LEAST_NORMAL)),
      () => {
        const rounded = inUnits(f64.const(2 ** 24));
        f.set(bits, i32.trunc_sat_f64_u(f64.abs(rounded)));
        f.if(f64.ne(f64.mul(rounded, f64.const(2 ** -24)), x), () => {
          f.set(flags, i32.const(UF | NX));
          // Not tiny after all when 11 bits with an unbounded exponent round up to the least normal number.
          f.if(f64.ge(magnitude, f64.const(LEAST_NORMAL / 2)), () => {
            const finer = f64.abs(use(roundToIntegral, f64.mul(x, f64.const(2 ** 25)), rm));
            f.if(f64.eq(finer, f64.const(2048)), () => f.set(flags, i32.const(NX)));
          });
        });
      },
      () => {
        const exponent = f.hold(
          i64.sub(
            i64.and(i64.shr_u(i64.reinterpret_f64(x), i64.const(52)), i64.const(0x7ff)),
            i64.const(1023),
          ),
        );
        // What overflows does so whatever its exponent: one that fits into the field's arithmetic will do.
        f.if(i64.gt_s(exponent, i64.const(16)), () => {
          f.set(x, f64.copysign(f64.const(2 ** 17), x));
          f.set(exponent, i64.const(17));
        });
        const unit = f.hold(
          f64.reinterpret_i64(i64.shl(i64.sub(i64.const(1023 + 10), exponent), i64.const(52))),
        );
        const rounded = inUnits(unit);
        f.if(f64.ne(rounded, f64.mul(x, unit)), () => f.set(flags, i32.const(NX)));
        // The implicit bit of the significand carries into the exponent.
        const field = i32.shl(i32.wrap_i64(i64.add(exponent, i64.const(14))), i32.const(10));
        f.set(bits, i32.add(field, i32.trunc_sat_f64_u(f64.abs(rounded))));
      },
    );
    f.if(i32.ge_u(bits, i32.const(INFINITY_16)), () => {
      f.set(flags, i32.const(OF | NX));
      // Towards zero, and in directed modes on the side away from the infinity: the largest number.
      const up = i32.eq(rm, i32.const(3));
      const down = i32.eq(rm, i32.const(2));
      const directed = select(sign, up, down);
      const largest = i32.or(i32.eq(rm, i32.const(1)), directed);
      f.set(bits, select(largest, i32.const(LARGEST_16), i32.const(INFINITY_16)));
    });
    f.return(i32.or(i32.or(bits, sign), i32.shl(flags, i32.const(16))));
  },
};

/** The pattern in what halfFromDouble returns. */
export const halfPattern = (rounded: I32): I32 => i32.and(rounded, i32.const(0xffff));
/** The flags in it. */
export const halfFlags = (rounded: I32): I32 => i32.shr_u(rounded, i32.const(16));

const BOX_16 = 0xffff_ffff_ffff_0000n;

/** The register that holds the 16 low bits `pattern` (the others are zero) as a boxed half. */
export function boxHalf(pattern: I32): I64 {
  return i64.or(i64.extend_i32_u(pattern), i64.const(BOX_16));
}

/** The pattern of the half in `register` (evaluated twice): the canonical NaN unless it is boxed. */
export function unboxedHalf(register: I64): I32 {
  return select(
    i64.ge_u(register, i64.const(BOX_16)),
    i32.and(i32.wrap_i64(register), i32.const(0xffff)),
    i32.const(CANONICAL_NAN_16),
  );
}
