import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../base/errors.js';
import { ensureOwnDirectory, writeOwnFile } from '../../base/own-files.js';
import { isNamespace } from './namespaces.js';
import type { PortMapping } from './network.js';

/** All addresses of the machine, in a name. */
const ALL = '*';

/**
 * Which ports of the machine lead to containers, of whatever store: nothing listens there, and rules of other stores cannot be seen. A file for each, in memory, with the namespace to which it leads; one whose namespace is gone counts
 * for nothing. To be used while it is one's turn.
 */
export class MachinePorts {
  readonly #directory: string;

  /** @param directory of this boot and of all stores; absolute */
  constructor(directory: string) {
    this.#directory = join(directory, 'ports');
  }

  /** @param namespace its path @returns the one of them that leads elsewhere; then none has been taken */
  take(namespace: string, ports: readonly PortMapping[]): PortMapping | undefined {
    if (ports.length === 0) return undefined;
    ensureOwnDirectory(this.#directory);
    const names = this.#names();
    const taken = ports.find((port) => names.some((name) => clashes(name, port) && this.#leads(name, namespace)));
    if (taken !== undefined) return taken;
    for (const port of ports) writeOwnFile(join(this.#directory, nameOf(port)), namespace);
    return undefined;
  }

  release(namespace: string): void {
    for (const name of this.#names()) {
      if (this.#leadsTo(name) === namespace) rmSync(join(this.#directory, name), { force: true });
    }
  }

  /** Elsewhere than to a namespace, as far as that is there. */
  #leads(name: string, namespace: string): boolean {
    const other = this.#leadsTo(name);
    return other !== namespace && isNamespace(other);
  }

  #leadsTo(name: string): string {
    try {
      return readFileSync(join(this.#directory, name), 'utf8');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return '';
      throw error;
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

const nameOf = ({ protocol, hostPort, hostAddress = ALL }: PortMapping): string =>
  `${protocol} ${hostPort} ${hostAddress}`;

function clashes(name: string, { protocol, hostPort, hostAddress = ALL }: PortMapping): boolean {
  const [otherProtocol, otherPort, otherAddress] = name.split(' ');
  if (otherProtocol !== protocol || otherPort !== String(hostPort)) return false;
  return otherAddress === ALL || hostAddress === ALL || otherAddress === hostAddress;
}
