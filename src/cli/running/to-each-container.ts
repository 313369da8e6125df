import type { Containerizer } from '../../containerizer/index.js';
import type { Cli } from '../cli.js';
import { touchedDocument } from '../output/documents/launch-document.js';
import type { OwnerFlags } from '../owner-flags.js';
import type { Session } from '../session.js';
import { withContainerizer } from './with-containerizer.js';

/** What is done to each of several containers. @returns what is told of it in JSON; undefined for its id */
type Work = (containers: Containerizer, id: string) => Promise<unknown>;

/** Does the same to each of several containers, as their owner, one after the other, and prints the ids of those to which it was done. */
export async function toEachInOrder(
  cli: Cli,
  containerIds: readonly string[],
  { owner }: OwnerFlags,
  work: Work,
): Promise<void> {
  await told(cli, owner, (containers, { output, each }) =>
    each(containerIds, async (id) => {
      const document = await work(containers, id);
      output.line(id);
      return document ?? touchedDocument(id);
    }),
  );
}

/** The same to all of them at once, so that none waits for the grace of another; the ids are printed in their order. */
export async function toEachContainer(
  cli: Cli,
  containerIds: readonly string[],
  { owner }: OwnerFlags,
  work: Work,
): Promise<void> {
  await told(cli, owner, (containers, { output, eachAtOnce }) => {
    const begun: { readonly id: string; readonly over: Promise<unknown> }[] = [];
    const inTurn = async (id: string) => {
      // What is done to one may be the end of those within it: who names these first has them come first.
      const before = begun.filter((other) => isAmong(id, other.id) || isAmong(other.id, id));
      const over = Promise.all(before.map((other) => other.over)).then(() => work(containers, id));
      begun.push({ id, over: over.catch(() => undefined) });
      return over;
    };
    return eachAtOnce(containerIds, inTurn, (document, id) => {
      output.line(id);
      return document ?? touchedDocument(id);
    });
  });
}

/** @param work comes to the documents of those to which it was done */
async function told(
  cli: Cli,
  owner: string | undefined,
  work: (containers: Containerizer, session: Session) => Promise<unknown[]>,
): Promise<void> {
  await cli.withStore(
    (session) =>
      withContainerizer(session, async (containers) => {
        const done = await work(containers, session);
        session.output.document(() => done);
      }),
    { owner },
  );
}

/** Whether it is the other one, or within it. */
const isAmong = (id: string, other: string) => id === other || id.startsWith(`${other}/`);
