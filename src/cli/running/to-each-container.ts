import type { Containerizer } from '../../containerizer/index.js';
import type { Cli } from '../cli.js';
import { touchedDocument } from '../output/documents/launch-document.js';
import type { OwnerFlags } from '../owner-flags.js';
import { withContainerizer } from './with-containerizer.js';

/**
 * Does the same to each of several containers, as their owner, and prints the ids of those to which it was done.
 * @param work what it comes to is told of the container in JSON. Default: its id
 */
export async function toEachContainer(
  cli: Cli,
  containerIds: readonly string[],
  { owner }: OwnerFlags,
  work: (containers: Containerizer, id: string) => Promise<unknown>,
): Promise<void> {
  await cli.withStore(
    (session) =>
      withContainerizer(session, async (containers) => {
        const { output, each } = session;
        const done = await each(containerIds, async (id) => {
          const document = (await work(containers, id)) ?? touchedDocument(id);
          output.line(id);
          return document;
        });
        output.document(() => done);
      }),
    { owner },
  );
}
