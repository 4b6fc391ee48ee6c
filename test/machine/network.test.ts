import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository } from '../../bench/hostProgram.js';
import { createMachine, type Machine } from '../../src/index.js';

vi.setConfig({ testTimeout: 60_000 });

const machines: Machine[] = [];
const folders: string[] = [];
async function machine(options: Parameters<typeof createMachine>[0] = {}): Promise<Machine> {
  const made = await createMachine(options);
  machines.push(made);
  return made;
}
afterEach(async () => {
  await Promise.all(machines.splice(0).map((m) => m.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const missing = crossCompiler === undefined;
const program = missing ? '' : compileGuest(join(repository, 'test/machine/talk.c'), ['-O2', '-static']);

/** Starts a guest and collects what it prints; `printed` resolves with the line that begins with `listening`. */
async function start(
  m: Machine,
  args: string[],
  folder?: string,
): Promise<{ listening: Promise<number>; ended: Promise<string> }> {
  let text = '';
  let heard: (port: number) => void = () => {};
  const listening = new Promise<number>((resolve) => {
    heard = resolve;
  });
  const guest = await m.spawn(program, {
    args,
    ...(folder !== undefined && { dirs: [{ host: folder, guest: '/shared' }] }),
    stdout: (bytes) => {
      text += new TextDecoder().decode(bytes);
      const port = /^listening (\d+)\n/.exec(text)?.[1];
      if (port !== undefined) heard(Number(port));
    },
    stderr: 'inherit',
  });
  return { listening, ended: guest.exited.then(({ code }) => `${text}${code}`) };
}

describe(`guests of one machine${missing ? ' (needs riscv64-linux-gnu-gcc)' : ''}`, () => {
  it.skipIf(missing)('meet at a path', async () => {
    const m = await machine();
    const folder = mkdtempSync(join(tmpdir(), 'guesthouse-talk-'));
    folders.push(folder);
    const server = await start(m, ['unix', 'serve', '/shared/s'], folder);
    await server.listening;
    expect(statSync(join(folder, 's')).isSocket()).toBe(true);
    const client = await start(m, ['unix', 'ask', '/shared/s'], folder);
    expect(await client.ended).toBe('got hello\n0');
    expect(await server.ended).toBe('listening 0\n0');
  });

  it.skipIf(missing)('meet at a port, and those of another machine do not', async () => {
    const m = await machine();
    const other = await machine();
    const server = await start(m, ['tcp', 'serve', '0']);
    const port = await server.listening;
    expect(await (await start(other, ['tcp', 'ask', String(port)])).ended).toBe('1');
    expect(await (await start(m, ['tcp', 'ask', String(port)])).ended).toBe('got hello\n0');
    await server.ended;
  });
});

describe(`guests and programs of the host${missing ? ' (needs riscv64-linux-gnu-gcc)' : ''}`, () => {
  it.skipIf(missing)('a server is reachable, and what it sent just before its end arrives', async () => {
    const m = await machine({ network: 'loopback' });
    const server = await start(m, ['tcp', 'serve', '0']);
    const port = await server.listening;
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => socket.write('from the host'));
      socket.on('data', (bytes) => {
        text += bytes;
      });
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    expect(answer).toBe('got from the host');
    expect(await server.ended).toBe(`listening ${port}\n0`);
    // The port is the host's again.
    const again = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve, reject) => again.once('listening', resolve).once('error', reject));
    again.close();
  });

  it.skipIf(missing)('a client reaches a server of the host', async () => {
    const m = await machine({ network: 'host' });
    const server = createServer((socket) => {
      socket.on('data', (bytes) => socket.end(`host got ${bytes}`));
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await (await start(m, ['tcp', 'ask', String(port)])).ended).toBe('host got hello\n0');
    server.close();
  });

  it.skipIf(missing)('a port that the host uses is taken', async () => {
    const m = await machine({ network: 'loopback' });
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await (await start(m, ['tcp', 'serve', String(port)])).ended).toBe('1');
    server.close();
    const apart = await machine();
    const guest = await start(apart, ['tcp', 'serve', String(port)]);
    expect(await guest.listening).toBe(port);
  });

  it.skipIf(missing)('closing the machine lets go of its ports', async () => {
    const m = await machine({ network: 'loopback' });
    const port = await (await start(m, ['tcp', 'serve', '0'])).listening;
    await m.close();
    const again = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve, reject) => again.once('listening', resolve).once('error', reject));
    again.close();
  });
});
