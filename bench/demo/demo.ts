import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createMachine } from '../../src/index.js';
import { formatBytes } from '../../src/observe/statistics.js';
import { compareFolders } from './compareFolders.js';
import { guestEsbuild } from './guestProgram.js';
import { nativeEsbuild } from './nativeEsbuild.js';

/**
 * `npm run demo`: the riscv64 build of esbuild, which nobody here has written, bundles and minifies a TypeScript project
 * under Guesthouse, and what it writes is compared byte for byte with what the host's own esbuild makes of it.
 */
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const cache = join(root, '.cache/demo');
const work = join(cache, 'work');
const interactive = process.stdout.isTTY === true;

const say = (text: string): void => {
  process.stdout.write(`${interactive ? '\r\x1b[K' : ''}${text}\n`);
};
/** A line that the next one replaces; nothing where output is no terminal. */
const progress = (text: string): void => {
  if (interactive) process.stdout.write(`\r\x1b[K${text}`);
};

function bundleArguments(out: string): string[] {
  return [
    'src/main.tsx',
    '--bundle',
    '--minify',
    '--sourcemap',
    '--splitting',
    '--format=esm',
    '--log-level=warning',
    `--outdir=${out}`,
  ];
}

async function demo(): Promise<boolean> {
  const native = nativeEsbuild();
  say(`fetching esbuild ${native.version} for riscv64 …`);
  const program = await guestEsbuild(root, cache, (received) => progress(`  ${formatBytes(received)}`));
  say(
    program.downloaded
      ? '  downloaded, its hash is the pinned one'
      : '  already here (.cache/demo), its hash checked',
  );
  if (program.version !== native.version)
    throw new Error(`esbuild ${native.version} is installed, but the demo is pinned to ${program.version}`);

  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  cpSync(join(root, 'bench/demo/project'), work, { recursive: true });

  say('running it under Guesthouse …');
  const from = performance.now();
  const machine = await createMachine();
  const guest = await machine.spawn(program.path, {
    args: bundleArguments('out/guest'),
    env: { HOME: '/tmp', PATH: '/' },
    dirs: [{ host: work, guest: '/project' }],
    cwd: '/project',
    stdout: 'inherit',
    stderr: 'inherit',
  });
  const ticker = setInterval(() => {
    const now = guest.statistics();
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    progress(
      `  ${seconds} s, ${(now.instructions / 1e6).toFixed(0)} million instructions, ${now.threads} threads`,
    );
  }, 200);
  let exit: Awaited<typeof guest.exited>;
  try {
    exit = await guest.exited;
  } finally {
    clearInterval(ticker);
    await machine.close();
  }
  const seconds = (performance.now() - from) / 1000;
  const used = guest.statistics();
  if (exit.code !== 0) {
    if (exit.crashReport !== undefined) say(exit.crashReport);
    throw new Error(`the guest ended with ${exit.signal ?? `exit code ${exit.code}`}`);
  }
  say(`  time            ${seconds.toFixed(2)} s`);
  say(`  guest threads   ${used.threads}, each on a worker of its own`);
  say(`  instructions    ${(used.instructions / 1e6).toFixed(0)} million`);
  say(`  system calls    ${used.systemCalls.toLocaleString('en')}`);
  say(`  guest memory    ${formatBytes(used.residentPeak)}`);
  say(`  process memory  ${formatBytes(process.resourceUsage().maxRSS * 1024)} at most, workers and all`);

  say('running native esbuild on the same …');
  const nativeFrom = performance.now();
  native.run(bundleArguments('out/native'), work);
  say(`  time            ${((performance.now() - nativeFrom) / 1000).toFixed(2)} s`);

  const files = compareFolders(join(work, 'out/guest'), join(work, 'out/native'));
  for (const file of files)
    say(`  ${file.same ? 'same  ' : 'DIFFER'}  ${file.name} (${formatBytes(file.bytes)})`);
  const same = files.length > 0 && files.every((file) => file.same);
  say(same ? 'The output is the same, byte for byte.' : 'The output DIFFERS.');
  return same;
}

try {
  process.exitCode = (await demo()) ? 0 : 1;
} catch (error) {
  say(`demo: ${error instanceof Error ? error.message : error}`);
  if (process.env.GUESTHOUSE_DEBUG !== undefined && error instanceof Error) say(error.stack ?? '');
  process.exitCode = 1;
}
