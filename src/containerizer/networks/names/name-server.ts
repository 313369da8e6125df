import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureOwnDirectory, writeOwnFile } from '../../../base/own-files.js';
import type { Processes } from '../../../system/processes/processes.js';
import type { Syscalls } from '../../../system/syscalls/syscalls.js';
import { readOrEmpty } from '../../read-or-empty.js';
import type { ConnectionRecord } from '../connection-note.js';
import { runPlugin } from '../drivers/run-plugin.js';
import type { OwnNetwork } from '../network.js';

export interface NameServerOptions {
  readonly processes: Processes;
  readonly syscalls: Syscalls;
  /** aardvark-dns; absolute. */
  readonly program: string;
  /** Of this boot; absolute. */
  readonly directory: string;
  /** Files `cgroup.procs` of cgroups that it is moved to, so that it is not ended with whoever has started it. */
  readonly join: readonly string[];
  /** Milliseconds for its start. */
  readonly patience: number;
}

const SIGHUP = 1;
const SIGTERM = 15;
/** Looks, a second in all, until a server that has just been started hears signals. */
const HEARS_SOON = 500;
/** Looks, half a second in all, until it listens in one network more. */
const LISTENS_SOON = 250;
const PORT = '53';
/** Milliseconds between looks at the lock, which is held for a millisecond or two, or for a start. */
const LOOK_AGAIN = 2;
/** What it is started with where it must ask nobody else. @see aardvark-dns, `AARDVARK_NO_PROXY` */
const ASKS_NOBODY = { AARDVARK_NO_PROXY: '1' };
/** Later releases go by the name of a network's file. */
const INTERNAL = '%int';

/**
 * Tells containers of one network each other's names, by aardvark-dns: one process for all networks with a way out, which asks the machine's name servers for all other names, and one for those without, which asks nobody.
 * It listens on the machine's addresses in the networks that have containers, and ends with the last of them.
 *
 * What it knows is written anew from the records each time something changes: what a crash has left in its files lasts until the next change, or the next recovery.
 */
export class NameServer {
  readonly #options: NameServerOptions;

  constructor(options: NameServerOptions) {
    this.#options = options;
  }

  /**
   * @param find what is connected to the network, asked for while nobody else writes
   * @returns whether somebody listens at the machine's address there: another name server of the machine may have that port
   * @throws like Node's `fs`; ProvisionerError `ERR_NETWORK_FAILED`
   */
  async renew(network: OwnNetwork, find: () => Promise<readonly ConnectionRecord[]>): Promise<boolean> {
    return this.#alone(async () => {
      const connections = (await find()).filter(({ note }) => note.state === 'ready' && note.names.length > 0);
      const place = this.#place(network.internal);
      const file = join(place, network.internal ? `${network.bridge}${INTERNAL}` : network.bridge);
      const text = connections.length === 0 ? '' : fileOf(network, connections);
      const isRunning = pidOf(place) !== undefined;
      const before = readOrEmpty(file);
      if (text === before && (isRunning || text === '')) return isRunning && listens(network.gateway);
      if (text === '') rmSync(file, { force: true });
      else this.#write(place, file, text);
      if (filesIn(place).length === 0) {
        this.#end(place);
        return false;
      }
      await this.#tell(place, network.internal);
      // One that served the network goes on; another one begins in a moment.
      for (let looks = 0; before === '' && !listens(network.gateway) && looks < LISTENS_SOON; looks++)
        await sleep(LOOK_AGAIN);
      return before !== '' || listens(network.gateway);
    });
  }

  /** That the machine asks others for names from now on. What does not run is not started. */
  async reload(): Promise<void> {
    if (!existsSync(this.#place(false))) return;
    await this.#alone(async () => {
      const pid = pidOf(this.#place(false));
      if (pid !== undefined) this.#signal(pid, SIGHUP);
    });
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    ensureOwnDirectory(this.#options.directory);
    const lock = this.#options.syscalls.openLockFile(join(this.#options.directory, 'lock'));
    try {
      while (!lock.tryLock('exclusive')) await sleep(LOOK_AGAIN);
      return await work();
    } finally {
      lock.close();
    }
  }

  #place(internal: boolean): string {
    return join(this.#options.directory, internal ? 'internal' : 'open');
  }

  /** It reads whatever is in its directory. */
  #write(place: string, file: string, text: string): void {
    mkdirSync(place, { recursive: true, mode: 0o700 });
    const draft = join(this.#options.directory, 'draft');
    writeOwnFile(draft, text);
    renameSync(draft, file);
  }

  async #tell(place: string, internal: boolean): Promise<void> {
    const pid = pidOf(place);
    if (pid !== undefined) {
      this.#signal(pid, SIGHUP);
      return;
    }
    const { processes, program, patience } = this.#options;
    const args = ['--config', place, '--port', PORT, 'run'];
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...(internal ? ASKS_NOBODY : {}) };
    await runPlugin(processes, { program, args, env, input: '', name: 'aardvark-dns', patience }, undefined);
    const started = pidOf(place);
    this.#moveOut(started);
    // Until it hears that signal, it dies of it.
    for (let looks = 0; started !== undefined && !hears(started, SIGHUP) && looks < HEARS_SOON; looks++)
      await sleep(LOOK_AGAIN);
  }

  #moveOut(pid: number | undefined): void {
    for (const file of pid === undefined ? [] : this.#options.join) {
      try {
        writeFileSync(file, String(pid));
      } catch {
        // Then it ends with whoever has started it, and the next one who needs it starts it again.
      }
    }
  }

  #end(place: string): void {
    const pid = pidOf(place);
    if (pid !== undefined) this.#signal(pid, SIGTERM);
    rmSync(place, { recursive: true, force: true });
  }

  #signal(pid: number, signal: number): void {
    const handle = this.#options.processes.open(pid);
    handle?.send(signal);
    handle?.close();
  }
}

const PID_FILE = 'aardvark.pid';

/** Whether somebody listens for questions at an address of this machine. @see proc(5), /proc/net/udp */
function listens(address: string): boolean {
  const bytes = address.split('.').map(Number).reverse();
  const hex = Buffer.from(bytes).toString('hex').toUpperCase();
  return readOrEmpty('/proc/net/udp').includes(` ${hex}:0035 `);
}

function filesIn(place: string): string[] {
  try {
    return readdirSync(place).filter((name) => name !== PID_FILE);
  } catch {
    return [];
  }
}

/** Of the one that serves this directory, while it lives: another process may have got its number. */
function pidOf(place: string): number | undefined {
  const pid = Number(readOrEmpty(join(place, PID_FILE)));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(place) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process has a signal of its own use. @see proc(5), /proc/pid/status, "SigCgt" */
function hears(pid: number, signal: number): boolean {
  const [, mask = '0'] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readOrEmpty(`/proc/${pid}/status`)) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

/** @see aardvark-dns, `config/mod.rs` */
function fileOf({ gateway }: OwnNetwork, connections: readonly ConnectionRecord[]): string {
  const lines = connections.map(({ name, note }) => {
    const servers = note.dns.length === 0 ? '' : ` ${note.dns.join(',')}`;
    return `${name} ${note.address}  ${note.names.join(',')}${servers}`;
  });
  return `${[gateway, ...lines].join('\n')}\n`;
}
