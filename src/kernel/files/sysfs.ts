import type { ThreadContext } from '../threadContext.js';
import { DEV_PROC } from './fileStatus.js';
import { cpuCount } from './machineFacts.js';
import { fixedDirectory, type MadeNode, madeDirectory, madeText } from './madeNode.js';

const DEV_SYS = DEV_PROC + 1n;

function cpuRange(t: ThreadContext): string {
  const count = cpuCount(t.mem);
  return count === 1 ? '0\n' : `0-${count - 1}\n`;
}

function text(path: string, render: (t: ThreadContext) => string): MadeNode {
  return madeText(path, DEV_SYS, render);
}

const cpuDirectory: MadeNode = madeDirectory(
  '/sys/devices/system/cpu',
  DEV_SYS,
  (t) => [
    'online',
    'possible',
    'present',
    'kernel_max',
    ...Array.from({ length: cpuCount(t.mem) }, (_, i) => `cpu${i}`),
  ],
  (t, name) => {
    const path = `/sys/devices/system/cpu/${name}`;
    if (name === 'online' || name === 'possible' || name === 'present') return text(path, cpuRange);
    if (name === 'kernel_max') return text(path, () => '511\n');
    const match = /^cpu(\d+)$/.exec(name);
    if (match === null || Number(match[1]) >= cpuCount(t.mem)) return undefined;
    return fixedDirectory(path, DEV_SYS, {
      topology: fixedDirectory(`${path}/topology`, DEV_SYS, {
        core_id: text(`${path}/topology/core_id`, () => `${match[1]}\n`),
        physical_package_id: text(`${path}/topology/physical_package_id`, () => '0\n'),
      }),
    });
  },
);

/** The tree at /sys: what libraries ask about processors and memory. */
export const sysRoot: MadeNode = fixedDirectory('/sys', DEV_SYS, {
  devices: fixedDirectory('/sys/devices', DEV_SYS, {
    system: fixedDirectory('/sys/devices/system', DEV_SYS, {
      cpu: cpuDirectory,
      node: fixedDirectory('/sys/devices/system/node', DEV_SYS, {
        online: text('/sys/devices/system/node/online', () => '0\n'),
        possible: text('/sys/devices/system/node/possible', () => '0\n'),
      }),
    }),
  }),
  kernel: fixedDirectory('/sys/kernel', DEV_SYS, {
    mm: fixedDirectory('/sys/kernel/mm', DEV_SYS, {
      transparent_hugepage: fixedDirectory('/sys/kernel/mm/transparent_hugepage', DEV_SYS, {
        enabled: text('/sys/kernel/mm/transparent_hugepage/enabled', () => 'always madvise [never]\n'),
        // Go reads it at every start.
        hpage_pmd_size: text('/sys/kernel/mm/transparent_hugepage/hpage_pmd_size', () => '2097152\n'),
      }),
    }),
  }),
  fs: fixedDirectory('/sys/fs', DEV_SYS, {
    cgroup: fixedDirectory('/sys/fs/cgroup', DEV_SYS, {}),
  }),
});
