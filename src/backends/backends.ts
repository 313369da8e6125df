import { ProvisionerError } from '../errors.js';
import { BACKEND_NAMES, type Backend, type BackendName, type BackendVerdict } from './backend.js';

/** What the caller asks for: a backend, or the best that works here. */
export type BackendChoice = BackendName | 'auto';

export interface BackendReport extends BackendVerdict {
  readonly name: BackendName;
  /** `auto` picks this one. */
  readonly chosen: boolean;
}

/**
 * Knows which backends work on this store. Each is tried when it is first asked for, really and once: what the kernel and the
 * file system can do does not change while they run.
 *
 * `auto` picks the first that works of overlay and copy; bind, which shows few images and none to write in, is for those who name it.
 */
export class Backends {
  readonly #backends: ReadonlyMap<BackendName, Backend>;
  readonly #probePrefix: () => string;
  readonly #verdicts = new Map<BackendName, BackendVerdict>();

  /** @param probePrefix begins the path of what a probe makes and removes, on the store's file system */
  constructor(backends: readonly Backend[], probePrefix: () => string) {
    this.#backends = new Map(backends.map((backend) => [backend.name, backend]));
    this.#probePrefix = probePrefix;
  }

  /** @throws ProvisionerError `ERR_BAD_OPTION` for a name that is none, `ERR_BACKEND_UNUSABLE` for one that does not work here */
  choose(choice: BackendChoice): Backend {
    if (choice === 'auto') return this.#best();
    const backend = this.#backends.get(choice);
    if (backend === undefined) {
      throw new ProvisionerError('ERR_BAD_OPTION', `no such backend: ${JSON.stringify(choice)}`, {
        hint: `choose one of auto, ${BACKEND_NAMES.join(', ')}`,
      });
    }
    const verdict = this.#verdict(backend);
    if (verdict.usable) return backend;
    throw new ProvisionerError('ERR_BACKEND_UNUSABLE', `the backend ${choice} cannot be used: ${verdict.reason}`, {
      hint: '`provisioner info` shows which backends can',
      details: { backend: choice, reason: verdict.reason },
    });
  }

  /** The one that made a rootfs, to take it apart; also when it could make none today. */
  named(name: string): Backend | undefined {
    return this.#backends.get(name as BackendName);
  }

  report(): BackendReport[] {
    const best = this.#best();
    return [...this.#backends.values()].map((backend) => ({
      name: backend.name,
      chosen: backend === best,
      ...this.#verdict(backend),
    }));
  }

  #best(): Backend {
    const overlay = this.#backends.get('overlay');
    if (overlay !== undefined && this.#verdict(overlay).usable) return overlay;
    return this.#backends.get('copy') as Backend;
  }

  #verdict(backend: Backend): BackendVerdict {
    const known = this.#verdicts.get(backend.name);
    if (known !== undefined) return known;
    const verdict = backend.probe(this.#probePrefix());
    this.#verdicts.set(backend.name, verdict);
    return verdict;
  }
}
