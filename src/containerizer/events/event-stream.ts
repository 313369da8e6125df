import { anySignal } from '../../base/any-signal.js';
import type { LaunchEvent, LaunchRecord } from '../../index.js';
import type { Endings } from '../launches/endings.js';
import { isOwnLaunch, readSpecNote } from '../launches/kept/launch-notes.js';
import type { Machine } from '../machine.js';
import type { ContainerEvent, EventSelection } from './container-event.js';

/** What is known of a launch beside its events. */
type Told = Pick<ContainerEvent, 'imageName' | 'labels'>;
const NOTHING: Told = { imageName: undefined, labels: {} };

/**
 * What happens to containers, as the records have it. An end is an event once somebody has seen it: while events are followed, whoever follows looks.
 */
export class EventStream {
  readonly #machine: Machine;
  readonly #endings: Endings;

  constructor(machine: Machine, endings: Endings) {
    this.#machine = machine;
    this.#endings = endings;
  }

  /** @param upToDate has the ends recorded that nobody has seen so far */
  read(selection: EventSelection, upToDate: () => Promise<unknown>): AsyncGenerator<ContainerEvent, void, undefined> {
    const { launches } = this.#machine.provisioner;
    const { since, until, follow = false } = selection;
    const { closing } = this.#machine;
    const signal = selection.signal === undefined ? closing : anySignal([selection.signal, closing]);
    const after = follow && since === undefined && until === undefined ? undefined : 0;
    // What happens from now on counts, whenever the first event is asked for.
    const following = follow ? launches.follow({ after, until: until?.getTime(), signal }) : undefined;
    const recorded = () =>
      launches.follow({ after, until: Math.min(until?.getTime() ?? Infinity, Date.now()), signal });
    return this.#read(following, recorded, since?.getTime() ?? 0, upToDate);
  }

  async *#read(
    following: AsyncGenerator<LaunchEvent> | undefined,
    recorded: () => AsyncGenerator<LaunchEvent>,
    since: number,
    upToDate: () => Promise<unknown>,
  ): AsyncGenerator<ContainerEvent, void, undefined> {
    const { launches } = this.#machine.provisioner;
    const told = new Map<string, Told>();
    const over = new AbortController();
    const attended = new Set<string>();
    const attend = (launch: LaunchRecord) => {
      if (following === undefined || !isUp(launch) || attended.has(launch.id)) return;
      attended.add(launch.id);
      void this.#attend(launch, over.signal).finally(() => attended.delete(launch.id));
    };
    try {
      await upToDate();
      for (const launch of (await launches.list()).filter(isOwnLaunch)) {
        told.set(launch.id, toldBySpec(launch));
        attend(launch);
      }
      for await (const event of following ?? recorded()) {
        const { launchId = '' } = event;
        const { image, labels, ...details } = detailsOf(event);
        if (event.kind === 'create' || image !== undefined) told.set(launchId, toldByEvent(image, labels));
        if (event.kind === 'start') {
          const launch = await launches.get(event.containerId);
          if (launch?.id === launchId && isOwnLaunch(launch)) attend(launch);
        }
        if (event.at >= since) yield containerEvent(event, details, told.get(launchId) ?? NOTHING);
        if (event.kind === 'destroy') told.delete(launchId);
      }
    } finally {
      over.abort();
      await following?.return(undefined);
    }
  }

  /** Has the end of a launch recorded that nobody else may be there to see. Who has it to do removes the container. */
  async #attend(launch: LaunchRecord, signal: AbortSignal): Promise<void> {
    try {
      await this.#endings.ended(launch, signal);
      await this.#endings.finish(launch);
    } catch {
      // It is given up, or the next one who looks has it to do.
    }
  }
}

const isUp = ({ state }: LaunchRecord) => state === 'running' || state === 'paused';

function containerEvent(
  { sequence, at, kind, containerId, launchId, owner }: LaunchEvent,
  details: Readonly<Record<string, unknown>>,
  told: Told,
): ContainerEvent {
  return { sequence, at, kind, containerId, launchId, owner, ...told, details };
}

/** Those of whoever else records launches may be anything. */
function detailsOf({ details }: LaunchEvent): Readonly<Record<string, unknown>> {
  const value: unknown = details === undefined ? {} : JSON.parse(details);
  return typeof value === 'object' && value !== null ? { ...value } : { value };
}

function toldBySpec({ spec }: LaunchRecord): Told {
  const { imageName, labels } = readSpecNote(spec);
  return { imageName, labels };
}

function toldByEvent(image: unknown, labels: unknown): Told {
  return { imageName: typeof image === 'string' ? image : undefined, labels: (labels ?? {}) as Told['labels'] };
}
