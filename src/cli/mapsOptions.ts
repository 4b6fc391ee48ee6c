import { type Command, Option } from 'commander';
import * as freebsd from '../kernel/freebsd/syscallNumbers.js';
import { MAP_FORMATS, type MapFormat } from '../kernel/guestOptions.js';
import * as linux from '../kernel/linux/syscallNumbers.js';
import { UsageError } from './usageError.js';

/** What `guesthouse maps` knows beside the options of `run`. */
export interface MapsOptions {
  /** When the map is printed: a system call by its name, or milliseconds after the start. */
  readonly at: 'exit' | 'start' | { readonly call: string } | { readonly milliseconds: number };
  readonly format: MapFormat;
  /** File to write to; default: stdout. */
  readonly output?: string;
  readonly children: boolean;
}

/** `exit`, `start`, `call:NAME`, `SECONDSs` or `NUMBERms`. Throws UsageError. */
export function parsePoint(text: string): MapsOptions['at'] {
  if (text === 'exit' || text === 'start') return text;
  const [, call] = /^call:(\w+)$/.exec(text) ?? [];
  if (call !== undefined) {
    if (![linux, freebsd].some((numbers) => `SYS_${call}` in numbers))
      throw new UsageError(`option --at: no system call '${call}'`);
    return { call };
  }
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s)$/.exec(text) ?? [];
  if (number === undefined)
    throw new UsageError(
      `option --at: must be exit, start, call:NAME or a time like 500ms or 2s, not '${text}'`,
    );
  return { milliseconds: Number(number) * (unit === 's' ? 1000 : 1) };
}

/** Declares the options on `command`. */
export function addMapsOptions(command: Command): void {
  command
    .option(
      '--at <point>',
      'when: exit (default), start (before its first instruction, and no further), call:NAME (after every such call), or a time after the start (500ms, 2s)',
      parsePoint,
      'exit',
    )
    .addOption(
      new Option('--format <format>', 'like /proc/PID/maps, its smaps, or the pages of qemu -d page')
        .choices(MAP_FORMATS)
        .default('maps'),
    )
    .option('-o, --output <file>', 'file to write to instead of stdout')
    .option(
      '--children',
      'the maps of the processes it starts, too, each under a line that says whose it is',
      false,
    );
}
