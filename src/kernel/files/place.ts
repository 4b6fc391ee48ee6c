import type { BigIntStats } from 'node:fs';
import type { MadeNode } from './madeNode.js';
import type { Mount } from './mountTable.js';

/** A place on the host, whether or not something is there. */
export interface HostPlace {
  readonly kind: 'host';
  /** Canonical guest path. */
  readonly path: string;
  readonly mount: Mount;
  /** Host path, a byte string; the directory part has no symbolic links as of the look-up. */
  readonly hostPath: string;
  /** lstat of it, undefined when nothing is there. */
  readonly stats: BigIntStats | undefined;
  /** `hostPath` is a link of the host's /proc/self/fd to a file the guest has open: follow it. */
  readonly reopened?: boolean;
}

/** Something that Guesthouse makes. */
export interface MadePlace {
  readonly kind: 'made';
  readonly path: string;
  readonly node: MadeNode;
}

/** A name that does not exist in a directory where nothing can be created. */
export interface MissingPlace {
  readonly kind: 'missing';
  readonly path: string;
}

/** An open file without a name (a pipe reached by /proc/self/fd/N). */
export interface OpenedPlace {
  readonly kind: 'opened';
  readonly path: string;
  /** Descriptor of the calling thread's table. */
  readonly fd: number;
}

export type Place = HostPlace | MadePlace | MissingPlace | OpenedPlace;
