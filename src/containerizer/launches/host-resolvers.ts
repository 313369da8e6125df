import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { LaunchRecord } from '../../index.js';
import { HOST_RESOLV_CONF } from '../bundle/network-files.js';
import { renewResolvConf } from '../bundle/renewed-resolv-conf.js';
import type { Machine } from '../machine.js';
import type { Endings } from './endings.js';
import { readSpec } from './kept/kept-spec.js';
import { isOwnLaunch, readPlaceNote, readSpecNote } from './kept/launch-notes.js';

/** Milliseconds between looks at the machine's file, which may be a link to one that is replaced again and again. */
const LOOK_AGAIN = 1000;

/**
 * Containers that share the machine's network find its name servers in a file of their own; those with another one ask somebody who asks them. While a process of ours lives that has launched one of them, or recovered one, these follow the machine's file.
 */
export class HostResolvers {
  readonly #machine: Machine;
  readonly #endings: Endings;
  #isFollowing = false;
  readonly #tellOthers: () => Promise<void>;
  readonly #changed = (): void => void this.renew().catch(() => undefined);

  /** @param tellOthers who else asks whom the machine asks */
  constructor(machine: Machine, endings: Endings, tellOthers: () => Promise<void>) {
    this.#machine = machine;
    this.#endings = endings;
    this.#tellOthers = tellOthers;
  }

  /** From now on, when a launch is among them that has a network. */
  follow(...launches: readonly LaunchRecord[]): void {
    if (this.#isFollowing || !launches.some((one) => sharesNetwork(one) || hasNetwork(one))) return;
    this.#isFollowing = true;
    watchFile(HOST_RESOLV_CONF, { persistent: false, interval: LOOK_AGAIN }, this.#changed);
  }

  /** The files of all that live, whoever has launched them. What cannot be written stays as it is. */
  async renew(): Promise<void> {
    const { launches } = this.#machine.provisioner;
    const host = await readFile(HOST_RESOLV_CONF, 'utf8').catch(() => '');
    // The machine has none just now: what they have is better than nothing.
    if (host === '') return;
    await this.#tellOthers();
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

const hasNetwork = ({ place }: LaunchRecord): boolean => readPlaceNote(place)?.network !== undefined;
const sharesNetwork = ({ spec }: LaunchRecord): boolean => readSpecNote(spec).relaxed.includes('network=host');
