import { type Command, Option } from 'commander';
import { isProvisionerError } from '../../../base/errors.js';
import type { Launch } from '../../../containerizer/index.js';
import type { ContainerInfo, Provisioner } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { containerDocument } from '../../output/documents/container-document.js';
import { formatAge } from '../../output/human-units.js';
import { shortDigest } from '../../output/short-digest.js';
import { poolsOf } from '../../running/waiting-in-pools.js';
import { runStatusOf, withContainerizer } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';

interface PsFlags {
  readonly running?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Lists the containers of all owners with one row for each root filesystem.')
    .option('--running', 'those only whose program runs or is halted')
    // Of Docker, where it is needed for what has ended.
    .addOption(new Option('-a, --all').hideHelp())
    .action(async ({ running = false }: PsFlags) => {
      await cli.withStore(async (session) => {
        const { provisioner, output } = session;
        const launches = await launchesNow(session);
        const all = await listed(provisioner, launches);
        const containers = running ? all.filter(({ id }) => isUp(launches.get(id))) : all;
        const titles = await imageTitles(provisioner, containers);
        const pools = await poolsOf(provisioner);
        const now = Date.now();
        output.table(
          ['CONTAINER', 'OWNER', 'IMAGE', 'STATUS', 'BACKEND', 'STATE', 'MOUNT', 'AGE', 'ROOTFS'],
          containers.flatMap(({ id, owner, createdAt, rootfses }) => {
            const status = statusOf(launches.get(id), pools.get(id));
            if (rootfses.length === 0)
              return [[id, owner, '-', status, '-', '-', '-', formatAge(now - createdAt), '-']];
            return rootfses.map(({ image, backend, state, mountState, createdAt, rootfs }) => {
              const title = titles.get(image) ?? shortDigest(image);
              return [id, owner, title, status, backend, state, mountState ?? '-', formatAge(now - createdAt), rootfs];
            });
          }),
        );
        output.document(() =>
          containers.map((container) =>
            containerDocument(container, launches.get(container.id), pools.get(container.id)),
          ),
        );
      });
    });
}

/** Those without a root filesystem too, which begin just now or have lost it. */
async function listed(provisioner: Provisioner, launches: ReadonlyMap<string, Launch>): Promise<ContainerInfo[]> {
  const containers = await provisioner.containers.list();
  const ids = new Set(containers.map(({ id }) => id));
  const bare = [...launches.values()].filter(({ containerId }) => !ids.has(containerId));
  const others = bare.map(({ containerId: id, owner, createdAt }) => ({ id, owner, createdAt, rootfses: [] }));
  return [...containers, ...others].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** By the containers' ids. What has ended since it was recorded is looked for where containers can be run; elsewhere the records have to do. */
async function launchesNow(session: Session): Promise<ReadonlyMap<string, Launch>> {
  const { provisioner } = session;
  const records = await provisioner.launches.list();
  if (records.length === 0) return new Map();
  const { launchOf } = await import('../../../containerizer/index.js');
  let launches = records.map(launchOf);
  if (records.some(({ state }) => state !== 'exited')) {
    try {
      await withContainerizer(session, async (containers) => {
        launches = await containers.list();
      });
    } catch (error) {
      if (!isProvisionerError(error)) throw error;
    }
  }
  return new Map(launches.map((launch) => [launch.containerId, launch]));
}

function isUp(launch: Launch | undefined): boolean {
  return launch?.state === 'running' || launch?.state === 'paused';
}

function statusOf(launch: Launch | undefined, pool: string | undefined): string {
  if (pool !== undefined) return `ready (pool ${pool})`;
  if (launch === undefined) return 'provisioned';
  if (launch.state !== 'exited') {
    const { state, health } = launch;
    return health === undefined || state === 'created' ? state : `${state} (${health.status})`;
  }
  const { exit } = launch;
  // Nothing has run in it.
  if (exit?.reason === 'forked') return 'provisioned';
  const isKnown = exit?.code !== undefined || exit?.signal !== undefined;
  return `exited (${isKnown ? runStatusOf(exit) : (exit?.reason ?? 'unknown')})`;
}

/** The first name of each image in use. One that has lost its names, or is gone while its layers are kept, is shown by its digest. */
async function imageTitles(
  provisioner: Provisioner,
  containers: readonly ContainerInfo[],
): Promise<ReadonlyMap<string, string>> {
  const ids = new Set(containers.flatMap(({ rootfses }) => rootfses.map(({ image }) => image)));
  const titles = new Map<string, string>();
  for (const id of ids) {
    try {
      const [name] = (await provisioner.images.get(id)).names;
      if (name !== undefined) titles.set(id, name);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) throw error;
    }
  }
  return titles;
}
