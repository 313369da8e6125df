import type { Command } from 'commander';
import type { ContainerFiles, Copied, CopyOptions, LeftOut } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { copiedDocument } from '../../output/documents/launch-document.js';
import { formatSize } from '../../output/human-units.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { type CopyArgument, copyArgument } from '../../running/copy-argument.js';
import { printBytes } from '../../running/follow-output.js';
import { leftOutWarnings } from '../../running/warn-left-out.js';
import { withContainerizer } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';
import { UsageError } from '../../usage-error.js';

interface CpFlags extends OwnerFlags {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly q?: boolean;
}

interface WorkOptions extends CopyOptions {
  /** Hears what is not in an archive, unless nothing is to be said of it. */
  readonly onLeftOut: ((left: LeftOut) => void) | undefined;
}

/** Both ends of a copy: one in a container. */
interface Ends {
  readonly containerId: string;
  readonly work: (files: ContainerFiles, options: WorkOptions) => Promise<Copied | undefined>;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Copies files between a container, whether it runs or not, and this machine.')
    .argument('<source>', 'CONTAINER:PATH, a path of this machine, or - for a tar archive on standard input')
    .argument('<destination>', 'the same; - writes a tar archive to standard output')
    .option('-a, --archive', 'keep owners, setuid, capabilities and devices as they are at the source')
    .option('-L, --follow-link', 'copy what a symlink leads to with which the source ends')
    .option('-q', 'say nothing of what was copied, or left out');
  addOwnerFlags(command);
  command
    .addHelpText(
      'after',
      `
A directory that is there is copied into, one that is not is made; DIR/. is the content of a directory. A path of this machine with a colon begins with ./ or /.

Examples:
  provisioner cp job-1:/app/results .
  provisioner cp ./config.json job-1:/etc/app/
  tar -c -C /data . | provisioner cp - job-1:/data
  provisioner cp job-1:/var/log - | tar -t`,
    )
    .action(async (source: string, destination: string, flags: CpFlags) => {
      const { containerId, work } = endsOf(copyArgument(source), copyArgument(destination), cli);
      await cli.withStore(
        (session) =>
          withContainerizer(session, async (containers) => {
            const { anyOwner, followLink, archive = false } = flags;
            const files = containers.files(containerId, { anyOwner });
            const owner = archive ? 'kept' : 'user';
            const onLeftOut = flags.q === true ? undefined : leftOutWarnings(session);
            const copied = await work(files, { followLink, owner, onLeftOut, signal: session.signal });
            if (copied !== undefined) tell(session, containerId, copied, flags.q ?? false, cli);
          }),
        { owner: flags.owner },
      );
    });
}

/** What goes where. @throws UsageError for what cannot be copied to each other */
function endsOf(from: CopyArgument, to: CopyArgument, { host }: Cli): Ends {
  if (from.is === 'container' && to.is === 'container')
    throw new UsageError(
      'both paths are in containers',
      'copy to this machine first, or hand an archive on: cp A:PATH - | cp - B:DIR',
    );
  if (from.is === 'container') {
    const { containerId, path } = from;
    if (to.is === 'machine')
      return { containerId, work: (files, { onLeftOut, ...options }) => files.copyOut(path, to.path, options) };
    requireNoTerminal(
      host.stdout.isTTY,
      'an archive is not written to a terminal',
      'hand it on to a program or a file',
    );
    const { stdout } = host;
    return {
      containerId,
      work: async (files, { followLink, onLeftOut, signal }) => {
        await printBytes(files.archive(path, { followLink, onLeftOut, signal }), stdout);
        return undefined;
      },
    };
  }
  if (to.is !== 'container')
    throw new UsageError('none of the paths is in a container', 'write CONTAINER:PATH for the one that is');
  const { containerId, path } = to;
  if (from.is === 'machine')
    return { containerId, work: (files, { onLeftOut, ...options }) => files.copyIn(from.path, path, options) };
  const stdin = host.stdin();
  requireNoTerminal(
    stdin.isTTY,
    'an archive is not read from a terminal',
    'hand one over: tar -c . | provisioner cp - …',
  );
  return {
    containerId,
    work: async (files, { signal }) => {
      try {
        return await files.extract(path, stdin, { signal });
      } finally {
        // Whoever writes may never end it, and this process would wait for that.
        stdin.destroy();
      }
    },
  };
}

function requireNoTerminal(isTerminal: boolean | undefined, message: string, hint: string): void {
  if (isTerminal === true) throw new UsageError(message, hint);
}

function tell(session: Session, containerId: string, copied: Copied, isQuiet: boolean, { host }: Cli): void {
  const { output } = session;
  output.document(() => copiedDocument(containerId, copied));
  if (isQuiet) return;
  copied.leftOut.forEach(leftOutWarnings(session));
  if (host.stderr.isTTY === true) output.progress(`copied ${copied.entries} entries, ${formatSize(copied.bytes)}`);
}
