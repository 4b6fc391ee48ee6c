import { allocateBlock, freeBlock } from '../sync/heap.js';
import { Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';

/** Places with jumps through registers that are remembered, and places that each was last seen to go to: powers of two. */
const SITES = 4096;
const WAYS = 4;
/** Bytes of memory that a profile takes. */
export const JUMP_PROFILE_BYTES = SITES * WAYS * 8;
/** Which way a target belongs to is told by two of its bits, from this one on. */
const WAY_BIT = 2;
/** Where the part of a site's address stands in a cell that tells it from others with the same cells; below it is the target. */
const TAG_BIT = 40;
const TAGS = 2 ** 12 - 1;
/** Sites of which is remembered what regions expect. */
const MOST_EXPECTED = 20_000;
/** Milliseconds after which what was seen is forgotten: a program does something else by then. */
const MEMORY = 100;

/** Where a jump notes its target: at `address` plus 8 times the way, with `tag` in the upper bits. */
export interface JumpCells {
  readonly address: number;
  /** How far that is from the beginning of the profile. */
  readonly distance: number;
  /** A multiple of 2^40. */
  readonly tag: number;
}

/**
 * Where jumps and calls through registers went lately: regions that do not know it note it in memory as they go, and regions that are formed later
 * follow them there. A hint: sites share cells, threads write at the same time, and addresses may be another program's.
 */
export class JumpProfile {
  #forgotten = 0;
  /** Where regions expect the jumps in them to go, by site. */
  readonly #expected = new Map<number, readonly number[]>();

  /** A profile in the JUMP_PROFILE_BYTES at `cells`, which are a multiple of 8. */
  constructor(
    private readonly mem: SharedMemory,
    readonly cells: number,
  ) {
    this.#clear();
  }

  /** Where the jump at `pc` notes its targets. */
  cellsOf(pc: number): JumpCells {
    const site = Math.floor(pc / 2) % SITES;
    const tag = Math.floor(pc / (2 * SITES)) % TAGS;
    const distance = site * WAYS * 8;
    return { address: this.cells + distance, distance, tag: (tag + 1) * 2 ** TAG_BIT };
  }

  /** Where the jump at `pc` noted lately that it went; empty where that is unknown, or too many places to be of use. */
  targetsOf(pc: number): readonly number[] {
    const noted = this.#notedAt(pc);
    return noted.length < WAYS ? noted : [];
  }

  /**
   * Where a region that is formed now is to follow the jump at `pc`: where that went lately, and where regions that have it already expect it to go,
   * for while they are right they note nothing. Empty as above.
   */
  follow(pc: number): readonly number[] {
    const noted = this.#notedAt(pc);
    const all = new Set([...noted, ...(this.#expected.get(pc) ?? [])]);
    const targets = all.size < WAYS ? [...all] : noted.length < WAYS ? noted : [];
    if (targets.length > 0) {
      if (this.#expected.size >= MOST_EXPECTED) this.#expected.clear();
      this.#expected.set(pc, targets);
    }
    return targets;
  }

  #notedAt(pc: number): number[] {
    const { address, tag } = this.cellsOf(pc);
    const noted: number[] = [];
    for (let way = 0; way < WAYS; way++) {
      const value = this.mem.getU64(address + way * 8);
      if (value >= tag && value < tag + 2 ** TAG_BIT) noted.push(value - tag);
    }
    return noted;
  }

  /** Forgets what is old at the time `now`, in milliseconds. */
  forget(now: number): void {
    if (now - this.#forgotten < MEMORY) return;
    this.#forgotten = now;
    this.#clear();
  }

  #clear(): void {
    this.mem.u8.fill(0, this.cells, this.cells + JUMP_PROFILE_BYTES);
  }
}

/** Address of the machine's profile, made if there is none. `owner` is the caller's lock token. Throws OutOfKernelMemory. */
export function jumpProfileOf(mem: SharedMemory, owner: number): number {
  const field = translationOf(mem) + Translation.jumpProfile;
  const known = mem.atomicLoad(field) >>> 0;
  if (known !== 0) return known;
  const made = allocateBlock(mem, JUMP_PROFILE_BYTES, owner);
  const other = mem.atomicCompareExchange(field, 0, made) >>> 0;
  if (other === 0) return made;
  freeBlock(mem, made, owner);
  return other;
}

/** The shift that brings the bits of a target that tell its way to where they are 8 times the way, and the mask for them. */
export const WAY_SHIFT = 3 - WAY_BIT;
export const WAY_MASK = (WAYS - 1) * 8;
