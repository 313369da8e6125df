// Servers that the benchmarks start for themselves.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * Runs a containerd of its own below a directory, and ends it.
 * @param {readonly string[]} prefix of its command lines, to run it in another root file system that sees the directory
 * @param {string} directory @param {(ctr: (...args: string[]) => void) => number} work returns seconds
 * @returns those, and the daemon's peak memory in MB
 */
export async function withContainerd(prefix, directory, work) {
  const address = join(directory, 'sock');
  const config = join(directory, 'config.toml');
  writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const places = ['--root', join(directory, 'root'), '--state', join(directory, 'state'), '--address', address];
  const env = { ...process.env, SCRATCH: directory };
  const [program, ...args] = [...prefix, 'containerd', '--config', config, '--log-level', 'error', ...places];
  const daemon = spawn(program, args, { stdio: 'ignore', env });
  try {
    await reachable(address, daemon);
    const [client, ...rest] = [...prefix, 'ctr', '--address', address];
    const seconds = work((...more) => {
      execFileSync(client, [...rest, ...more], { stdio: ['ignore', 'ignore', 'inherit'], env });
    });
    const memory = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]) / 1000;
    return { seconds, memory };
  } finally {
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  }
}

/**
 * A way to a server of this machine on which each connection brings only so much; a process of its own, since benchmarks wait for their contenders.
 * @param {number} port of the server @param {number} bytesPerSecond
 */
export async function slowWay(port, bytesPerSecond) {
  const program = fileURLToPath(new URL('./slow-way.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, String(port), String(bytesPerSecond)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.on('exit', () => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return { port: Number(line), stop: () => child.kill('SIGKILL') };
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until somebody listens at an address, who is this child. */
export async function reachable(address, child) {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with status ${child.exitCode}`);
    const socket = connect(address);
    const answer = await new Promise((settle) => {
      socket.once('connect', () => settle(true));
      socket.once('error', () => settle(false));
    });
    socket.destroy();
    if (answer) return;
    await sleep(50);
  }
  throw new Error(`${child.spawnfile} does not answer`);
}
