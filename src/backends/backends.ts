import { join } from 'node:path';
import { fileError, ProvisionerError } from '../base/errors.js';
import { BACKEND_NAMES, type Backend, type BackendName, type BackendVerdict } from './backend.js';

/** What the caller asks for: a backend, or the best that works here. */
export type BackendChoice = BackendName | 'auto';

export interface BackendReport extends Pick<BackendVerdict, 'usable' | 'reason'> {
  readonly name: BackendName;
  /** `auto` picks this one. */
  readonly chosen: boolean;
}

export interface BackendsOptions {
  /** On the store's file system; probes are made and removed in it. */
  readonly probeDirectory: string;
  /** Begins the name of what a probe makes. May throw what making a file throws. */
  readonly probeName: () => string;
  /** Called when `auto` settles for copy, once for each reason. */
  readonly onFallback?: ((reason: string) => void) | undefined;
  /** Called when a backend is chosen of which there is something to tell, once for each. */
  readonly onCaveat?: ((name: BackendName, caveat: string) => void) | undefined;
}

/**
 * Knows which backends work on this store. Each is tried when it is first asked for, really, and once it has been found out: what the kernel and the
 * file system can do does not change while they run.
 *
 * `auto` picks the first that works of overlay and copy; bind, which shows few images and none to write in, is for those who name it. It does not settle
 * for copy because the machine is short of something: the mount would have failed too, and the next one will not.
 */
export class Backends {
  readonly #backends: ReadonlyMap<BackendName, Backend>;
  readonly #options: BackendsOptions;
  /** Those that have been found out. */
  readonly #verdicts = new Map<BackendName, BackendVerdict>();
  readonly #fallbacks = new Set<string>();
  readonly #caveats = new Set<BackendName>();

  constructor(backends: readonly Backend[], options: BackendsOptions) {
    this.#backends = new Map(backends.map((backend) => [backend.name, backend]));
    this.#options = options;
  }

  /**
   * @throws ProvisionerError `ERR_BAD_OPTION` for a name that is none, `ERR_BACKEND_UNUSABLE` for one that does not work here; `ERR_NO_SPACE` and `ERR_IO`
   * when that could not be found out
   */
  choose(choice: BackendChoice): Backend {
    const backend = choice === 'auto' ? this.#best() : this.#named(choice);
    this.#tellCaveat(backend);
    return backend;
  }

  #named(choice: BackendName): Backend {
    const backend = this.#backends.get(choice);
    if (backend === undefined) {
      throw new ProvisionerError('ERR_BAD_OPTION', `no such backend: ${JSON.stringify(choice)}`, {
        hint: `choose one of auto, ${BACKEND_NAMES.join(', ')}`,
      });
    }
    const verdict = this.#verdict(backend);
    if (verdict.usable) return backend;
    this.#throwShortage(verdict);
    throw new ProvisionerError('ERR_BACKEND_UNUSABLE', `the backend ${choice} cannot be used: ${verdict.reason}`, {
      hint: verdict.refusal?.hint ?? '`provisioner info` shows which backends can',
      details: { backend: choice, reason: verdict.reason },
    });
  }

  /**
   * Before a rootfs is mounted again. What could not be found out for a shortage does not hold it up.
   * @throws ProvisionerError `ERR_BACKEND_UNUSABLE` for one that does not work here
   */
  requireUsable(name: BackendName): void {
    const backend = this.#backends.get(name);
    if (backend === undefined || this.#verdict(backend).shortage !== undefined) return;
    this.choose(name);
  }

  /** The one that made a rootfs, to take it apart; also when it could make none today. */
  named(name: string): Backend | undefined {
    return this.#backends.get(name as BackendName);
  }

  report(): BackendReport[] {
    const verdicts = [...this.#backends.values()].map((backend) => ({
      name: backend.name,
      verdict: this.#verdict(backend),
    }));
    const verdictOf = (wanted: BackendName) => verdicts.find(({ name }) => name === wanted)?.verdict;
    const overlay = verdictOf('overlay');
    // While that cannot be found out, `auto` picks none.
    const second = overlay?.shortage === undefined && verdictOf('copy')?.usable ? 'copy' : undefined;
    const best = overlay?.usable ? 'overlay' : second;
    return verdicts.map(({ name, verdict: { usable, reason, caveat } }) => ({
      name,
      chosen: name === best,
      usable,
      reason: caveat === undefined ? reason : `${reason}; ${caveat}`,
    }));
  }

  #best(): Backend {
    const copy = this.#backends.get('copy') as Backend;
    const overlay = this.#backends.get('overlay');
    if (overlay === undefined) return copy;
    const verdict = this.#verdict(overlay);
    if (verdict.usable) return overlay;
    this.#throwShortage(verdict);
    const { usable, refusal } = this.#verdict(copy);
    if (refusal !== undefined) throw refusal;
    // Where nothing can be copied either, that is what is said when it is tried.
    if (usable) this.#tellFallback(verdict.reason);
    return copy;
  }

  #tellFallback(reason: string): void {
    if (this.#fallbacks.has(reason)) return;
    this.#fallbacks.add(reason);
    this.#options.onFallback?.(reason);
  }

  #tellCaveat({ name }: Backend): void {
    const caveat = this.#verdicts.get(name)?.caveat;
    if (caveat === undefined || this.#caveats.has(name)) return;
    this.#caveats.add(name);
    this.#options.onCaveat?.(name, caveat);
  }

  #throwShortage({ shortage }: BackendVerdict): void {
    if (shortage !== undefined) throw fileError(shortage, 'try a mount', this.#options.probeDirectory);
  }

  #verdict(backend: Backend): BackendVerdict {
    const known = this.#verdicts.get(backend.name);
    if (known !== undefined) return known;
    const { probeDirectory, probeName } = this.#options;
    const verdict = backend.probe(() => join(probeDirectory, probeName()));
    if (verdict.shortage === undefined) this.#verdicts.set(backend.name, verdict);
    return verdict;
  }
}
