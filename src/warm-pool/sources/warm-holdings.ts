import { ProvisionerError } from '../../base/errors.js';
import {
  destroyWarm,
  forgetWarm,
  takeWarm,
  WARM,
  type WarmNote,
  type WarmPlaces,
  type WarmRecord,
} from '../../containerizer/index.js';
import type { Provisioner } from '../../index.js';

/** A holding that is taken for the sake of the disk alone: what was recorded before is there after a power cut, then. */
const FLUSHED = 'warm-flushed';

/**
 * What is recorded of the containers of one pool:
 *
 *     put ─► made, ready ─► take ─► let go ─► forget              (at its gate)
 *                            ├────► forget ─► handed out          (generic, or a root filesystem)
 *                            └────► destroyed ─► forget
 *
 * `take` is one step among all processes: of two that want the same container one gets it. What is found taken by one who has died is destroyed: nobody has got it, unless it was let go.
 */
export class WarmHoldings {
  readonly #provisioner: Provisioner;
  readonly #note: WarmNote;
  readonly #bootId: string;

  constructor(provisioner: Provisioner, note: WarmNote, bootId: string) {
    this.#provisioner = provisioner;
    this.#note = note;
    this.#bootId = bootId;
  }

  /** Before anything of it is there. @returns false where there is one of that id */
  async put(containerId: string): Promise<boolean> {
    const wish = { kind: WARM, names: [containerId], details: JSON.stringify(this.#note) };
    return (await this.#provisioner.holdings.take({ bootId: this.#bootId }, [wish])).taken !== undefined;
  }

  /** @returns false where somebody else has it, or it is recorded no more */
  take(containerId: string): Promise<boolean> {
    return takeWarm(this.#provisioner, containerId);
  }

  /** What has been recorded so far survives a power cut. */
  async flush(containerId: string): Promise<void> {
    const { holdings } = this.#provisioner;
    const { taken } = await holdings.take({ bootId: this.#bootId }, [{ kind: FLUSHED, names: [containerId] }]);
    if (taken !== undefined) await holdings.release(taken);
  }

  /** What was taken. @see destroyWarm */
  destroy(places: WarmPlaces, which: Pick<WarmRecord, 'containerId' | 'kind'>): Promise<boolean> {
    return destroyWarm(this.#provisioner, places, which);
  }

  /** Whoever has it. */
  forget(containerId: string): Promise<void> {
    return forgetWarm(this.#provisioner, containerId);
  }
}

/** Before anything of it is there. @throws ProvisionerError `ERR_CONTAINER_EXISTS` for what is recorded already, by whoever: it is his */
export async function putNew(holdings: WarmHoldings, containerId: string): Promise<void> {
  if (await holdings.put(containerId)) return;
  throw new ProvisionerError('ERR_CONTAINER_EXISTS', `${containerId} is there already`);
}
