import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LaunchRecord } from '../../index.js';
import { HOST_RESOLV_CONF } from '../bundle/network-files.js';
import { renewResolvConf } from '../bundle/renewed-resolv-conf.js';
import type { Machine } from '../machine.js';
import type { Endings } from './endings.js';
import { readSpec } from './kept/kept-spec.js';
import { isOwnLaunch, readSpecNote } from './kept/launch-notes.js';

/** Milliseconds between looks at the machine's file, which may be a link to one that is replaced again and again. */
const LOOK_AGAIN = 1000;

/**
 * Containers that share the machine's network find its name servers in a file of their own. While a process of ours lives that has launched one, or recovered one, that file follows the machine's.
 */
export class HostResolvers {
  readonly #machine: Machine;
  readonly #endings: Endings;
  #isFollowing = false;
  readonly #changed = (): void => void this.renew().catch(() => undefined);

  constructor(machine: Machine, endings: Endings) {
    this.#machine = machine;
    this.#endings = endings;
  }

  /** From now on, when a launch is among them that shares the network. */
  follow(...launches: readonly LaunchRecord[]): void {
    if (this.#isFollowing || !launches.some(sharesNetwork)) return;
    this.#isFollowing = true;
    watchFile(HOST_RESOLV_CONF, { persistent: false, interval: LOOK_AGAIN }, this.#changed);
  }

  /** The files of all that live, whoever has launched them. What cannot be written stays as it is. */
  async renew(): Promise<void> {
    const { launches } = this.#machine.provisioner;
    const host = await readFile(HOST_RESOLV_CONF, 'utf8').catch(() => '');
    // The machine has none just now: what they have is better than nothing.
    if (host === '') return;
    for (const launch of await launches.list({ states: ['created', 'running', 'paused'] })) {
      if (!isOwnLaunch(launch) || !sharesNetwork(launch)) continue;
      const directory = this.#endings.directory(launch.id);
      try {
        renewResolvConf(directory.bundle, host, readSpec(directory, launch.containerId).options.dns);
      } catch {
        // It has ended meanwhile, or the disk is full.
      }
    }
  }

  close(): void {
    if (this.#isFollowing) unwatchFile(HOST_RESOLV_CONF, this.#changed);
  }
}

const sharesNetwork = ({ spec }: LaunchRecord): boolean => readSpecNote(spec).relaxed.includes('network=host');
