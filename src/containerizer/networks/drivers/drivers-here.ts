import { join } from 'node:path';
import { ProvisionerError } from '../../../base/errors.js';
import type { Processes } from '../../../system/processes/processes.js';
import { findProgram } from '../../../system/syscalls/find-program.js';
import { CniDriver } from './cni.js';
import { NetavarkDriver, type NetavarkOptions } from './netavark.js';
import type { NetworkDriver } from './network-driver.js';

/** Where podman's helpers lie. @see containers.conf(5), `helper_binaries_dir` */
const HELPERS =
  '/usr/local/libexec/podman:/usr/local/lib/podman:/usr/libexec/podman:/usr/lib/podman:/usr/local/bin:/usr/bin';
/** @see CNI specification 1.0, section 2, `CNI_PATH`; Debian and Fedora have places of their own */
const PLUGINS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
/** Milliseconds for one call: it takes a tenth of a second. */
const PATIENCE = 30_000;

export interface DriversOptions extends Pick<NetavarkOptions, 'processes' | 'held' | 'withSpareNamespace'> {
  readonly processes: Processes;
  /** Absolute, of this boot. */
  readonly directory: string;
}

/** What connects to networks on this machine. */
export class DriversHere {
  readonly #options: DriversOptions;

  constructor(options: DriversOptions) {
    this.#options = options;
  }

  /** That of networks which are made here. @throws ProvisionerError `ERR_NETWORK_UNSUPPORTED` */
  chosen(): NetworkDriver['name'] {
    if (findHelper('netavark') !== undefined) return 'netavark';
    if (findProgram('bridge', { PATH: PLUGINS.join(':') }) !== undefined) return 'cni';
    throw new ProvisionerError(
      'ERR_NETWORK_UNSUPPORTED',
      'neither netavark nor the plugins of CNI are installed here',
      {
        hint: 'install one: `apt-get install netavark aardvark-dns iptables`, or `containernetworking-plugins`',
      },
    );
  }

  /** @throws ProvisionerError `ERR_NETWORK_UNSUPPORTED` where it is not installed any more */
  named(name: NetworkDriver['name']): NetworkDriver {
    const { processes, directory, held, withSpareNamespace } = this.#options;
    if (name === 'cni')
      return new CniDriver({ processes, held, withSpareNamespace, directories: PLUGINS, patience: PATIENCE });
    const program = findHelper('netavark');
    if (program !== undefined) {
      return new NetavarkDriver({
        ...{ processes, program, held, withSpareNamespace, patience: PATIENCE },
        directory: join(directory, 'netavark'),
      });
    }
    throw new ProvisionerError('ERR_NETWORK_UNSUPPORTED', 'netavark, by which the network was made, is not there', {
      hint: 'install it: `apt-get install netavark`',
    });
  }
}

/** @returns absolute; undefined where it is not installed */
export const findHelper = (name: string): string | undefined => findProgram(name, { PATH: HELPERS });
