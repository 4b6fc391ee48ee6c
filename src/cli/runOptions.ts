import { Command, InvalidArgumentError } from 'commander';
import { CpuModelError, describeCpuModels, parseCpuModel } from '../isa/cpuModel.js';
import type { DirectoryMount, NetworkName } from '../machine/options.js';
import { LARGEST_MACHINE, SMALLEST_MACHINE, type TranslationLogItem } from '../machine/options.js';
import { PLACEMENTS, type PlacementName } from '../mm/findVma.js';
import { parseDirectory } from './directoryOption.js';
import { addMapsOptions, type MapsOptions } from './mapsOptions.js';
import { parseSize } from './size.js';
import { UsageError } from './usageError.js';

/** The parsed command line of `guesthouse run` and `guesthouse maps`. Sizes in bytes. */
export interface RunOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly root?: string;
  readonly dirs: readonly DirectoryMount[];
  /** Variables to set, in order; and names to take away. */
  readonly env: readonly (readonly [string, string])[];
  readonly unset: readonly string[];
  readonly argv0?: string;
  readonly stackSize?: number;
  readonly reservedVa?: number;
  readonly memory?: number;
  readonly maxProcesses?: number;
  readonly maxThreads?: number;
  readonly workers?: number;
  readonly pageSize?: number;
  readonly hostPageSize?: number;
  readonly cwd?: string;
  readonly unameRelease?: string;
  /** A CPU model that parseCpuModel takes. */
  readonly cpu?: string;
  /** Folder of the code cache. */
  readonly codeCache?: string;
  readonly jit?: boolean | { readonly threshold: number };
  readonly network?: NetworkName;
  readonly translationBytes?: number;
  readonly placement?: { readonly placement: PlacementName; readonly placementSeed?: number };
  readonly logPage: boolean;
  readonly log: readonly TranslationLogItem[];
  readonly logFile?: string;
  readonly perfMap?: string;
  readonly dumpMaps: boolean;
  /** The command is `maps`. */
  readonly maps?: MapsOptions;
  readonly strace: boolean;
  readonly stats: boolean;
  readonly verbose: boolean;
}

/** What the command line asks for: to run a program, or to print a text and exit. */
export type CommandLine =
  | { readonly kind: 'run'; readonly options: RunOptions }
  | { readonly kind: 'print'; readonly text: string };

interface Parsed extends MapsOptions {
  root?: string;
  dir: DirectoryMount[];
  env: (readonly [string, string])[];
  unset: string[];
  argv0?: string;
  stack?: number;
  reservedVa?: number;
  memory?: number;
  maxProcesses?: number;
  workers?: number;
  maxThreads?: number;
  pageSize?: number;
  hostPageSize?: number;
  cwd?: string;
  uname?: string;
  cpu?: string;
  codeCache?: string;
  jit?: boolean | { readonly threshold: number };
  net?: NetworkName;
  tbSize?: number;
  placement?: { readonly placement: PlacementName; readonly placementSeed?: number };
  d: readonly LogItem[];
  D?: string;
  perfMap?: string;
  dumpMaps: boolean;
  strace: boolean;
  stats: boolean;
  verbose: boolean;
}

const size = (option: string) => (text: string) => parseSize(text, option);
const collect = <T>(parse: (text: string) => T) => {
  return (text: string, before: T[]): T[] => [...before, parse(text)];
};

function parseAssignment(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new UsageError(`option --env: '${text}' is not of the form NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** The most threads of a machine: workers, each of some 8 MiB. */
const MOST_THREADS = 16384;

const count = (option: string) => (text: string) => {
  const number = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 0;
  if (number === 0 || number > MOST_THREADS)
    throw new UsageError(`option ${option}: must be from 1 to ${MOST_THREADS}, not '${text}'`);
  return number;
};

const pageSize = (option: string) => (text: string) => {
  const bytes = parseSize(text, option);
  if (bytes !== 4096 && bytes !== 16384 && bytes !== 65536)
    throw new UsageError(`option ${option}: must be 4K, 16K or 64K, not '${text}'`);
  return bytes;
};

/** The folder of the code cache, if one is wanted. */
function codeCacheOf({ codeCache }: Parsed): { readonly codeCache?: string } {
  const folder = codeCache ?? process.env.GUESTHOUSE_CODE_CACHE;
  return folder ? { codeCache: folder } : {};
}

function parseJit(text: string): boolean | { readonly threshold: number } {
  if (text === 'on' || text === 'off') return text === 'on';
  const threshold = /^threshold=([1-9][0-9]{0,4})$/.exec(text)?.[1];
  if (threshold === undefined || Number(threshold) > 65535)
    throw new UsageError(`option --jit: must be on, off or threshold=1 to 65535, not '${text}'`);
  return { threshold: Number(threshold) };
}

/** Bytes; as QEMU's -tb-size, a number alone stands for MiB. */
function parseTranslationBytes(text: string): number {
  const bytes = parseSize(/^\d+$/.test(text) ? `${text}M` : text, '--tb-size');
  if (bytes < 65536 || bytes > 2 ** 31)
    throw new UsageError(`option --tb-size: must be from 64K to 2G, not '${text}'`);
  return bytes;
}

function parseNetwork(text: string): NetworkName {
  if (text === 'none' || text === 'loopback' || text === 'host') return text;
  throw new UsageError(`option --net: must be none, loopback or host, not '${text}'`);
}

/** `POLICY` or `random:SEED`. */
function parsePlacement(text: string): { placement: PlacementName; placementSeed?: number } {
  const [, policy, seed] = /^([^:]*)(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (!Object.hasOwn(PLACEMENTS, policy ?? ''))
    throw new UsageError(
      `option --placement: must be one of ${Object.keys(PLACEMENTS).join(', ')}, not '${text}'`,
    );
  const placement = policy as PlacementName;
  if (seed === undefined) return { placement };
  if (placement !== 'random' || Number(seed) === 0 || Number(seed) > 0xffff_ffff)
    throw new UsageError(`option --placement: only random has a seed, from 1 to 4294967295, not '${text}'`);
  return { placement, placementSeed: Number(seed) };
}

type LogItem = 'page' | TranslationLogItem;

/** What -d can log. */
const LOG_ITEMS: Readonly<Record<LogItem, string>> = {
  page: 'every call that changes the memory map, and the map it leaves',
  in_asm: 'the guest code of each translated region',
  out_wasm: 'the WebAssembly modules that are made of it, in hexadecimal',
  exec: 'each entry of a translated region (slow)',
};

function parseLogged(text: string, before: readonly LogItem[]): LogItem[] {
  if (text === 'help') {
    const lines = Object.entries(LOG_ITEMS).map(([item, what]) => `${item.padEnd(10)} ${what}\n`);
    throw new PrintRequest(`Items of -d, separated by commas:\n${lines.join('')}`);
  }
  const items = text.split(',');
  const unknown = items.find((item) => !Object.hasOwn(LOG_ITEMS, item));
  if (unknown !== undefined)
    throw new UsageError(
      `option -d: '${unknown}' cannot be logged, only ${Object.keys(LOG_ITEMS).join(', ')}`,
    );
  return [...before, ...(items as LogItem[])];
}

const LARGEST_VA = 64 * 2 ** 30;
const SMALLEST_VA = 16 * 2 ** 20;

function parseReservedVa(text: string): number {
  const bytes = parseSize(text, '--reserved-va');
  if (bytes < SMALLEST_VA || bytes > LARGEST_VA || bytes % 65536 !== 0)
    throw new UsageError(`option --reserved-va: must be a multiple of 64K from 16M to 64G, not '${text}'`);
  return bytes;
}

function parseMemory(text: string): number {
  const bytes = Math.ceil(parseSize(text, '--memory') / 65536) * 65536;
  if (bytes < SMALLEST_MACHINE || bytes > LARGEST_MACHINE)
    throw new UsageError(`option --memory: must be from 64M to 4G, not '${text}'`);
  return bytes;
}

/** Thrown by an option whose value only asks for a text to be printed. */
class PrintRequest extends Error {}

function parseCpu(text: string): string {
  if (text === 'help') throw new PrintRequest(describeCpuModels());
  parseCpuModel(text);
  return text;
}

/** QEMU's options of several letters behind one dash, which commander does not take. */
const LONG_NAMES: Readonly<Record<string, string>> = { '-cpu': '--cpu', '-tb-size': '--tb-size' };

/** `args` with QEMU's long options spelt with two dashes, up to the program's name. */
function withLongNames(args: readonly string[], command: Command): string[] {
  const spelt = [...args];
  const from = spelt.indexOf(command.name());
  if (from < 0) return spelt;
  for (let i = from + 1; i < spelt.length && spelt[i].startsWith('-') && spelt[i] !== '--'; i++) {
    spelt[i] = LONG_NAMES[spelt[i]] ?? spelt[i];
    const option = command.options.find(({ short, long }) => short === spelt[i] || long === spelt[i]);
    if (option?.required) i++;
  }
  return spelt;
}

/**
 * Parses the arguments after `guesthouse`. Options end at PROGRAM: whatever follows is the guest's.
 * Throws UsageError, and CpuModelError for a processor that there is not.
 */
export function parseCommandLine(args: readonly string[], version: string): CommandLine {
  let printed = '';
  let result: CommandLine | undefined;
  const output = {
    writeOut: (text: string) => {
      printed += text;
    },
    writeErr: () => {},
  };

  const program = new Command('guesthouse')
    .description('Runs Linux RISC-V 64 programs, each of their threads on a worker thread of its own.')
    .version(version, '--version', 'print the version and exit')
    .helpOption('-h, --help', 'print this help and exit')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(output);

  const declare = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .argument('<program>', 'the RISC-V 64 executable: a file of the host, or with --root a path in there')
      .argument('[args...]', 'its arguments')
      .option('-L, --root <dir>', 'host directory that is the root of what the program sees')
      .option(
        '--dir <host[:guest][:ro]>',
        'another host directory it sees, writable unless :ro (repeatable)',
        collect(parseDirectory),
        [],
      )
      .option(
        '-E, --env <name=value>',
        'set an environment variable (repeatable)',
        collect(parseAssignment),
        [],
      )
      .option('-U, --unset <name>', 'take an environment variable away (repeatable)', collect(String), [])
      .option('-0, --argv0 <name>', 'what the program gets as argv[0]')
      .option('-C, --cwd <dir>', 'directory it starts in, as the program sees it')
      .option('-s, --stack <size>', "size of the first thread's stack (default 8M)", size('--stack'))
      .option('-R, --reserved-va <size>', 'size of its address space (default 64G)', parseReservedVa)
      .option('--memory <size>', 'memory of the machine (default and most: 4G)', parseMemory)
      .option(
        '--max-processes <n>',
        'how many processes there may be at once (default: as many as threads)',
        count('--max-processes'),
      )
      .option(
        '--max-threads <n>',
        'how many threads there may be at once (default 512)',
        count('--max-threads'),
      )
      .option(
        '--workers <n>',
        'how many workers threads get before those that wait give theirs away (default: 4 a processor, at least 16)',
        count('--workers'),
      )
      .option(
        '--page-size <size>',
        'page size the program believes in: 4K, 16K or 64K',
        pageSize('--page-size'),
      )
      .option(
        '--host-page-size <size>',
        'page size below the program: 4K, 16K or 64K',
        pageSize('--host-page-size'),
      )
      .option('-r, --uname <release>', 'kernel release that uname reports')
      .option(
        '--cpu <model>',
        'processor, as -cpu (which also works) in QEMU: rv64 (default), max, rv64,zfh=on …; or help',
        parseCpu,
      )
      .option(
        '--net <none|loopback|host>',
        "network: the program's own loopback only (none, default), the host's loopback, or all of the host's",
        parseNetwork,
      )
      .option(
        '--jit <on|off|threshold=n>',
        'translate hot code to WebAssembly (default: in programs that run for a while)',
        parseJit,
      )
      .option(
        '--code-cache <folder>',
        'keep translated code there for the next run (default: $GUESTHOUSE_CODE_CACHE, if set)',
      )
      .option(
        '--tb-size <size>',
        'translated modules to keep, the oldest give way (default 48M); a number alone is MiB, as in QEMU',
        parseTranslationBytes,
      )
      .option(
        '--placement <policy[:seed]>',
        'where mappings go: top-down (default), qemu, first-fit or random',
        parsePlacement,
      )
      .option(
        '-d <item[,item...]>',
        `log ${Object.keys(LOG_ITEMS).join(', ')} (help says what they are)`,
        parseLogged,
        [],
      )
      .option('-D <file>', 'log (-d, --strace) to a file instead of stderr')
      .option('--perf-map <file>', 'write which translated regions did how much to a file at the end')
      .option('--dump-maps', 'print the memory map on stderr at the end', false)
      .option('--strace', 'print system calls and signals on stderr', false)
      .option('--stats', 'print statistics on stderr at the end', false)
      .option('-v, --verbose', 'report unknown system calls, and internal errors with their stack', false)
      .addHelpText(
        'after',
        '\nSizes are bytes, decimal or 0x hexadecimal, or with a suffix K, M or G.\n' +
          'Exit status: that of the program, 128+n when signal n ends it, 126 when it cannot be run, 127 when it\n' +
          'is not found, 2 for a wrong command line, 1 for an unknown processor or an internal error.',
      )
      .passThroughOptions()
      .action((path: string, rest: string[], o: Parsed) => {
        result = {
          kind: 'run',
          options: {
            program: path,
            args: rest,
            dirs: o.dir,
            env: o.env,
            unset: o.unset,
            logPage: o.d.includes('page'),
            log: o.d.filter((item) => item !== 'page'),
            dumpMaps: o.dumpMaps,
            strace: o.strace,
            stats: o.stats,
            verbose: o.verbose,
            ...(name === 'maps' && { maps: o }),
            ...(o.root !== undefined && { root: o.root }),
            ...(o.argv0 !== undefined && { argv0: o.argv0 }),
            ...(o.stack !== undefined && { stackSize: o.stack }),
            ...(o.reservedVa !== undefined && { reservedVa: o.reservedVa }),
            ...(o.memory !== undefined && { memory: o.memory }),
            ...(o.maxProcesses !== undefined && { maxProcesses: o.maxProcesses }),
            ...(o.maxThreads !== undefined && { maxThreads: o.maxThreads }),
            ...(o.workers !== undefined && { workers: o.workers }),
            ...(o.pageSize !== undefined && { pageSize: o.pageSize }),
            ...(o.hostPageSize !== undefined && { hostPageSize: o.hostPageSize }),
            ...(o.cwd !== undefined && { cwd: o.cwd }),
            ...(o.placement !== undefined && { placement: o.placement }),
            ...(o.uname !== undefined && { unameRelease: o.uname }),
            ...(o.D !== undefined && { logFile: o.D }),
            ...(o.perfMap !== undefined && { perfMap: o.perfMap }),
            ...(o.cpu !== undefined && { cpu: o.cpu }),
            ...(o.jit !== undefined && { jit: o.jit }),
            ...(o.net !== undefined && { network: o.net }),
            ...codeCacheOf(o),
            ...(o.tbSize !== undefined && { translationBytes: o.tbSize }),
          },
        };
      });
  declare('run', 'run a program');
  addMapsOptions(
    declare('maps', 'run a program and print its memory map; what the program prints goes to stderr'),
  );
  for (const command of program.commands) command.exitOverride().configureOutput(output);

  if (args.length === 0) return { kind: 'print', text: program.helpInformation() };
  try {
    const command = program.commands.find((c) => c.name() === args[0]) ?? program.commands[0];
    program.parse(withLongNames(args, command), { from: 'user' });
  } catch (error) {
    if (error instanceof PrintRequest) return { kind: 'print', text: error.message };
    if (error instanceof UsageError || error instanceof CpuModelError) throw error;
    const { code, message, exitCode } = error as { code?: string; message: string; exitCode?: number };
    if (code === undefined) throw error;
    if (exitCode === 0) return { kind: 'print', text: printed };
    if (error instanceof InvalidArgumentError) throw new UsageError(message);
    throw new UsageError(message.replace(/^error: /, '').replace(/\n/g, ' '));
  }
  return result ?? { kind: 'print', text: printed };
}
