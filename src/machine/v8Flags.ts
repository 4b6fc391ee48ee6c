import { setFlagsFromString } from 'node:v8';

/**
 * V8 takes code from a cache only under the flags that it was made with, and that goes for Node's own modules too: with any
 * flag set, each worker compiles a hundred of them when it starts. So flags are set only where nothing else helps.
 * A flag that V8 does not know makes it complain on stderr, so only versions known to have them get them.
 */
const [major, minor] = process.versions.v8.split('.').map(Number);

/** Has V8 take relaxed SIMD instructions (fused multiply-add), which it does without being asked from 11.4 on. */
export function allowRelaxedSimd(on = true): void {
  if (major < 11 || (major === 11 && minor < 4)) set('experimental-wasm-relaxed-simd', on);
}

/**
 * Has V8 compile a module when it is made, in the background, instead of each function at its first call, which the first
 * guest would wait for.
 */
export function compileEagerly(on = true): void {
  if (major <= 13) set('wasm-lazy-compilation', !on);
}

/** Has V8 heed branch hints, by which translated code keeps what hardly ever happens out of its way. */
export function heedBranchHints(on = true): void {
  if (major <= 13) set('experimental-wasm-branch-hinting', on);
}

/** Does something to modules of translated code under the flags that they are compiled with: V8 takes kept code under no others. */
export function withRegionFlags<T>(work: () => T): T {
  allowRelaxedSimd();
  heedBranchHints();
  try {
    return work();
  } finally {
    allowRelaxedSimd(false);
    heedBranchHints(false);
  }
}

/** Has modules compiled when they are made, by V8's baseline compiler, and by no other when they are run. */
export function withQuickFlags<T>(work: () => T): T {
  compileEagerly();
  tierUp(false);
  try {
    return work();
  } finally {
    compileEagerly(false);
    tierUp();
  }
}

/** V8's defaults for delayOptimization, in Node 20. */
const INTERRUPT_BUDGET = 67_584;
const MOST_INLINED = 920;

/**
 * Has V8 optimise JavaScript later than it does by default, and inline less of it. (CPU time, Node 20: python starting 3.5 s to 2.9,
 * gcc's cc1 2.0 to 1.7, 100 processes of a shell 1.45 to 1.06. With twice the budget instead of four times it is half of that.)
 */
export function delayOptimization(on = true): void {
  if (major > 11) return;
  setFlagsFromString(`--interrupt-budget=${on ? 4 * INTERRUPT_BUDGET : INTERRUPT_BUDGET}`);
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${on ? 300 : MOST_INLINED}`);
}

function tierUp(on = true): void {
  if (major > 13) return;
  set('wasm-dynamic-tiering', on);
  set('wasm-tier-up', on);
}

function set(flag: string, on: boolean): void {
  setFlagsFromString(on ? `--${flag}` : `--no-${flag}`);
}
