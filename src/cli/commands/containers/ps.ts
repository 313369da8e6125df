import type { Command } from 'commander';
import { isProvisionerError } from '../../../base/errors.js';
import type { ContainerInfo, Provisioner } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { containerDocument } from '../../output/documents/container-document.js';
import { formatAge } from '../../output/human-units.js';
import { shortDigest } from '../../output/short-digest.js';

export function define(command: Command, cli: Cli): void {
  command.description('Lists the containers of all owners with one row for each root filesystem.').action(async () => {
    await cli.withStore(async ({ provisioner, output }) => {
      const containers = await provisioner.containers.list();
      const titles = await imageTitles(provisioner, containers);
      const now = Date.now();
      output.table(
        ['CONTAINER', 'OWNER', 'IMAGE', 'BACKEND', 'STATE', 'MOUNT', 'AGE', 'ROOTFS'],
        containers.flatMap(({ id, owner, rootfses }) =>
          rootfses.map(({ image, backend, state, mountState, createdAt, rootfs }) => {
            const title = titles.get(image) ?? shortDigest(image);
            return [id, owner, title, backend, state, mountState ?? '-', formatAge(now - createdAt), rootfs];
          }),
        ),
      );
      output.document(() => containers.map(containerDocument));
    });
  });
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
