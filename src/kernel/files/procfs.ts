import { loadavg as hostLoad, totalmem } from 'node:os';
import { isaString } from '../../isa/extensions.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { realtimeOffset } from '../clock.js';
import { defaultGuestOptions } from '../guestOptions.js';
import { visitGuests } from '../guestRecords.js';
import { formatQueues } from '../messageQueues.js';
import { fillRandom } from '../random.js';
import { formatSets } from '../semaphores.js';
import { formatSegments } from '../sysvShm.js';
import type { ThreadContext } from '../threadContext.js';
import { utsName } from '../uts.js';
import { formatLocks } from './fileLocks.js';
import { DEV_PROC } from './fileStatus.js';
import { listDescriptors } from './filesTable.js';
import { cpuCount } from './machineFacts.js';
import { fixedDirectory, type MadeNode, madeDirectory, madeLink, madeText } from './madeNode.js';
import { processDirectory } from './procProcess.js';

/** The tree at /proc: what concerns the machine is here, what concerns a process is in procProcess.ts. */

function text(name: string, render: (t: ThreadContext) => string, mode = 0o444): MadeNode {
  return madeText(`/proc/${name}`, DEV_PROC, render, mode);
}

/** Frames of memory in use and in all, in KiB. */
function memoryKib(mem: SharedMemory): { total: number; free: number } {
  const frameKib = (1 << mem.getU32(MACHINE + Machine.hostPageShift)) / 1024;
  const total = mem.getU32(MACHINE + Machine.frameCount) * frameKib;
  const used = Math.max(0, mem.atomicLoad(MACHINE + Machine.framesUsed)) * frameKib;
  return {
    total: Math.min(total, totalmem() / 1024),
    free: Math.max(0, Math.min(total, totalmem() / 1024) - used),
  };
}

function line(name: string, kib: number): string {
  return `${`${name}:`.padEnd(16)}${String(Math.floor(kib)).padStart(8)} kB\n`;
}

function meminfo({ mem }: ThreadContext): string {
  const { total, free } = memoryKib(mem);
  return (
    line('MemTotal', total) +
    line('MemFree', free) +
    line('MemAvailable', free) +
    line('Buffers', 0) +
    line('Cached', 0) +
    line('SwapCached', 0) +
    line('Active', total - free) +
    line('Inactive', 0) +
    line('SwapTotal', 0) +
    line('SwapFree', 0) +
    line('Dirty', 0) +
    line('Writeback', 0) +
    line('AnonPages', total - free) +
    line('Mapped', 0) +
    line('Shmem', 0) +
    line('CommitLimit', total) +
    line('Committed_AS', total - free) +
    line('VmallocTotal', 67108863) +
    line('VmallocUsed', 0) +
    `HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n`
  );
}

function cpuinfo({ mem, mm }: ThreadContext): string {
  const blocks: string[] = [];
  const isa = isaString(mem.getU32(mm + Mm.extensions));
  for (let cpu = 0; cpu < cpuCount(mem); cpu++) {
    blocks.push(
      `processor\t: ${cpu}\nhart\t\t: ${cpu}\nisa\t\t: ${isa}\nmmu\t\t: sv48\n` +
        'mvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\nuarch\t\t: guesthouse\n',
    );
  }
  return `${blocks.join('\n')}\n`;
}

function uptimeSeconds(mem: SharedMemory): number {
  return Math.max(0, (monotonicNow() - mem.getU64(MACHINE + Machine.bootTime)) / 1000);
}

/**
 * Milliseconds that the processors have worked since the machine was made: what the Node process has used of them, which is
 * not told apart by processor, and the rest.
 */
function processorTime(mem: SharedMemory): { user: number; system: number; idle: number } {
  const used = process.cpuUsage();
  const [user, system] = [used.user / 1000, used.system / 1000];
  const all = uptimeSeconds(mem) * 1000 * cpuCount(mem);
  return { user, system, idle: Math.max(0, all - user - system) };
}

function stat({ mem }: ThreadContext): string {
  const cpus = cpuCount(mem);
  const { user, system, idle } = processorTime(mem);
  /** user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice, in ticks of 10 ms. */
  const times = (share: number): string =>
    [user, 0, system, idle, 0, 0, 0, 0, 0, 0].map((ms) => Math.floor(ms / share / 10)).join(' ');
  let out = `cpu  ${times(1)}\n`;
  for (let cpu = 0; cpu < cpus; cpu++) out += `cpu${cpu} ${times(cpus)}\n`;
  const boot = Math.floor((mem.getU64(MACHINE + Machine.bootTime) + realtimeOffset(mem)) / 1000);
  return `${out}intr 0\nctxt 0\nbtime ${boot}\nprocesses ${mem.getU32(MACHINE + Machine.lastTid)}\nprocs_running 1\nprocs_blocked 0\n`;
}

function countThreads(t: ThreadContext): { threads: number; running: number } {
  let threads = 0;
  let running = 0;
  visitGuests(t.mem, t.thread, (guest) => {
    const count = t.mem.atomicLoad(guest + Guest.threadCount);
    threads += count;
    if (count > 0) running++;
    return false;
  });
  return { threads, running };
}

/** Open descriptors of all processes. */
function countOpenFiles(t: ThreadContext): number {
  const { mem } = t;
  let sum = 0;
  const seen = new Set<number>();
  visitGuests(mem, t.thread, (guest) => {
    withMutex(mem, guest + Guest.threadsLock, t.thread, () => {
      for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest)) {
        const files = mem.getU32(o + Thread.files);
        if (files === 0 || seen.has(files)) continue;
        seen.add(files);
        sum += listDescriptors(mem, files, t.thread).length;
      }
    });
    return false;
  });
  return sum;
}

function uuid(mem: SharedMemory): string {
  const bytes = new Uint8Array(16);
  fillRandom(mem, bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}\n`;
}

/** An identifier of the machine, the same at every look. */
function bootId(mem: SharedMemory): string {
  const seed = Math.floor(mem.getU64(MACHINE + Machine.realtimeOffset))
    .toString(16)
    .padStart(32, '0')
    .slice(-32);
  return `${seed.slice(0, 8)}-${seed.slice(8, 12)}-4${seed.slice(13, 16)}-8${seed.slice(17, 20)}-${seed.slice(20)}\n`;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function release(t: ThreadContext): string {
  return t.options?.unameRelease ?? defaultGuestOptions.unameRelease;
}

const constants = (prefix: string, values: Readonly<Record<string, string>>): Record<string, MadeNode> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, text(`${prefix}/${name}`, () => `${value}\n`)]),
  );

const sys = fixedDirectory('/proc/sys', DEV_PROC, {
  kernel: fixedDirectory('/proc/sys/kernel', DEV_PROC, {
    ...constants('sys/kernel', {
      ostype: 'Linux',
      version: '#1 SMP',
      pid_max: '4194304',
      'threads-max': '65536',
      tainted: '0',
      overflowuid: '65534',
      overflowgid: '65534',
      ngroups_max: '65536',
      cap_last_cap: '40',
      shmmax: '18446744073692774399',
      shmall: '18446744073692774399',
      shmmni: '4096',
      msgmax: '8192',
      msgmnb: '16384',
      msgmni: '32000',
      sem: '32000\t1024000000\t500\t32000',
      randomize_va_space: '2',
      core_pattern: '|/bin/false',
      perf_event_paranoid: '4',
    }),
    hostname: text('sys/kernel/hostname', (t) => `${latin1(utsName(t.mem, 'nodename', t.thread))}\n`),
    domainname: text('sys/kernel/domainname', (t) => `${latin1(utsName(t.mem, 'domainname', t.thread))}\n`),
    osrelease: text('sys/kernel/osrelease', (t) => `${release(t)}\n`),
    random: fixedDirectory('/proc/sys/kernel/random', DEV_PROC, {
      uuid: text('sys/kernel/random/uuid', ({ mem }) => uuid(mem)),
      boot_id: text('sys/kernel/random/boot_id', ({ mem }) => bootId(mem)),
      entropy_avail: text('sys/kernel/random/entropy_avail', () => '256\n'),
      poolsize: text('sys/kernel/random/poolsize', () => '256\n'),
    }),
  }),
  vm: fixedDirectory(
    '/proc/sys/vm',
    DEV_PROC,
    constants('sys/vm', {
      overcommit_memory: '0',
      overcommit_ratio: '50',
      max_map_count: '65530',
      mmap_min_addr: '65536',
      swappiness: '60',
      legacy_va_layout: '0',
    }),
  ),
  fs: fixedDirectory('/proc/sys/fs', DEV_PROC, {
    ...constants('sys/fs', {
      'file-max': '9223372036854775807',
      nr_open: '1048576',
      'pipe-max-size': '1048576',
      'pipe-user-pages-soft': '16384',
      protected_hardlinks: '1',
      protected_symlinks: '1',
    }),
    'file-nr': text('sys/fs/file-nr', (t) => `${countOpenFiles(t)}\t0\t9223372036854775807\n`),
    inotify: fixedDirectory(
      '/proc/sys/fs/inotify',
      DEV_PROC,
      constants('sys/fs/inotify', {
        max_queued_events: '16384',
        max_user_instances: '8192',
        max_user_watches: '65536',
      }),
    ),
    mqueue: fixedDirectory(
      '/proc/sys/fs/mqueue',
      DEV_PROC,
      constants('sys/fs/mqueue', {
        msg_default: '10',
        msg_max: '10',
        msgsize_default: '8192',
        msgsize_max: '8192',
        queues_max: '256',
      }),
    ),
  }),
  net: fixedDirectory('/proc/sys/net', DEV_PROC, {
    core: fixedDirectory('/proc/sys/net/core', DEV_PROC, constants('sys/net/core', { somaxconn: '4096' })),
  }),
});

const FILE_SYSTEMS = 'nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tpipefs\n\text4\n';

const machineEntries: Readonly<Record<string, MadeNode>> = {
  cpuinfo: text('cpuinfo', cpuinfo),
  meminfo: text('meminfo', meminfo),
  uptime: text('uptime', ({ mem }) => {
    const idle = (processorTime(mem).idle / 1000).toFixed(2);
    return `${uptimeSeconds(mem).toFixed(2)} ${idle}\n`;
  }),
  loadavg: text('loadavg', (t) => {
    const { threads, running } = countThreads(t);
    // The host's: what else runs there slows guests down, too.
    const load = hostLoad()
      .map((value) => value.toFixed(2))
      .join(' ');
    return `${load} ${running}/${threads} ${t.mem.getU32(MACHINE + Machine.lastTid)}\n`;
  }),
  version: text('version', (t) => `Linux version ${release(t)} (guesthouse) #1 SMP\n`),
  stat: text('stat', stat),
  filesystems: text('filesystems', () => FILE_SYSTEMS),
  cmdline: text('cmdline', () => 'guesthouse\n'),
  locks: text('locks', formatLocks),
  partitions: text('partitions', () => 'major minor  #blocks  name\n\n'),
  diskstats: text('diskstats', () => ''),
  devices: text('devices', () => 'Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n'),
  vmstat: text('vmstat', () => 'nr_free_pages 0\npgfault 0\n'),
  swaps: text('swaps', () => 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'),
  mounts: madeLink('/proc/mounts', DEV_PROC, () => 'self/mounts'),
  self: madeLink('/proc/self', DEV_PROC, (t) => String(t.mem.getU32(t.guest + Guest.pid))),
  'thread-self': madeLink(
    '/proc/thread-self',
    DEV_PROC,
    (t) => `${t.mem.getU32(t.guest + Guest.pid)}/task/${t.mem.getU32(t.thread + Thread.tid)}`,
  ),
  sys,
  sysvipc: fixedDirectory('/proc/sysvipc', DEV_PROC, {
    msg: text('sysvipc/msg', formatQueues),
    sem: text('sysvipc/sem', formatSets),
    shm: text('sysvipc/shm', formatSegments),
  }),
  net: madeLink('/proc/net', DEV_PROC, () => 'self/net'),
};

/** The tree at /proc. */
export const procRoot: MadeNode = madeDirectory(
  '/proc',
  DEV_PROC,
  (t) => {
    const pids: number[] = [];
    visitGuests(t.mem, t.thread, (guest) => {
      pids.push(t.mem.getU32(guest + Guest.pid));
      return false;
    });
    return [...Object.keys(machineEntries), ...pids.sort((a, b) => a - b).map(String)];
  },
  (t, name) => {
    if (Object.hasOwn(machineEntries, name)) return machineEntries[name];
    return /^[1-9]\d{0,9}$/.test(name) ? processDirectory(t, Number(name)) : undefined;
  },
);
