import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { type Clock, machineClock } from '../../base/time/clock.js';
import { notLaunched } from '../container-errors.js';
import type { Launch, LaunchCondition, Reached } from '../containerizer.js';
import { pause } from './health-loop.js';

/** Milliseconds between looks. */
const LOOK_AGAIN = 100;

const HOLDS: Readonly<Record<LaunchCondition, (launch: Launch) => boolean>> = {
  running: ({ state }) => state === 'running',
  paused: ({ state }) => state === 'paused',
  exited: ({ state }) => state === 'exited',
  healthy: (launch) => isUp(launch) && isFound(launch, 'healthy'),
  unhealthy: (launch) => isUp(launch) && isFound(launch, 'unhealthy'),
};

export const LAUNCH_CONDITIONS = Object.keys(HOLDS) as readonly LaunchCondition[];

/** One that is paused is as healthy as it was. */
const isUp = ({ state }: Launch) => state === 'running' || state === 'paused';

const isFound = ({ health }: Launch, condition: LaunchCondition) => health?.status === condition;

/** How a container is looked at. */
export interface LaunchView {
  /** As it is now; undefined when there is none. */
  look(): Promise<Launch | undefined>;
  /** Whether its health is what was found lately: nobody may have checked for long, and then somebody does now. */
  isCurrent(launch: Launch): boolean;
}

/**
 * Looks again and again.
 * @throws ProvisionerError as `Containerizer.waitUntil`
 */
export async function waitUntil(
  containerId: string,
  conditions: readonly LaunchCondition[],
  view: LaunchView,
  signal: AbortSignal | undefined,
  clock: Clock = machineClock(),
): Promise<Reached> {
  const never = new AbortController().signal;
  for (let before: Launch | undefined; ; ) {
    const launch = await view.look();
    if (launch === undefined) {
      throw before === undefined
        ? notLaunched(containerId, false)
        : ended(containerId, conditions, 'destroyed', NOTHING_LEFT);
    }
    const condition =
      conditions.find((one) => hasPassed(one, before, launch)) ??
      conditions.find((one) => HOLDS[one](launch) && (!isOfHealth(one) || view.isCurrent(launch)));
    if (condition !== undefined) return { condition, launch };
    if (launch.state === 'exited') throw ended(containerId, conditions, outcomeOf(launch), PRINTED);
    // What is starting has not said yet what its image says.
    if (launch.state !== 'starting' && launch.health === undefined && conditions.every(isOfHealth)) {
      throw new ProvisionerError(
        'ERR_NO_HEALTH_CHECK',
        `nothing says how it is found out whether container ${containerId} is healthy`,
        {
          hint: 'launch it with a health command (--health-cmd), or wait for `running` or `exited`',
          details: { containerId },
        },
      );
    }
    before = launch;
    await pause(clock, LOOK_AGAIN, signal ?? never);
    throwIfAborted(signal);
  }
}

/** Whether it has come to that, and ended since the look before: what is unhealthy may be killed for it at once. */
const hasPassed = (condition: LaunchCondition, before: Launch | undefined, now: Launch): boolean =>
  now.state === 'exited' &&
  isOfHealth(condition) &&
  isFound(now, condition) &&
  before?.launchId === now.launchId &&
  isUp(before) &&
  !isFound(before, condition);

const isOfHealth = (condition: LaunchCondition) => condition === 'healthy' || condition === 'unhealthy';

/** Hints. */
const PRINTED = '`provisioner logs` shows what its program has printed';
const NOTHING_LEFT =
  '`provisioner events` shows when; launch it again, and destroy it when nobody waits for it any more';

function ended(
  containerId: string,
  conditions: readonly LaunchCondition[],
  outcome: string,
  hint: string,
): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_NOT_RUNNING',
    `container ${containerId} is ${outcome}, and was not ${conditions.join(' or ')} before`,
    {
      hint,
      details: { containerId, conditions: [...conditions] },
    },
  );
}

function outcomeOf({ exit }: Launch): string {
  if (exit?.code !== undefined) return `exited (${exit.code})`;
  return `exited (${exit?.signal === undefined ? (exit?.reason ?? 'unknown') : `signal ${exit.signal}`})`;
}
