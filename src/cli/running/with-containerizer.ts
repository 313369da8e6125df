import { isProvisionerError } from '../../base/errors.js';
import type { Containerizer, Exit, RuntimeName } from '../../containerizer/index.js';
import type { Session } from '../session.js';
import { OutputClosed } from './follow-output.js';

/** What stands for a failure of ours where others are codes of a program. */
export const OURS = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** What runs containers on the session's store. @throws as `openContainerizer` */
export async function containerizerOf({ provisioner }: Session, runtime?: RuntimeName): Promise<Containerizer> {
  // Loaded here: most commands run nothing.
  const { openContainerizer } = await import('../../containerizer/index.js');
  return openContainerizer({ provisioner, runtime });
}

/** Does work with what runs containers on the session's store. It is over, as with every program, when nobody reads what it prints any more. */
export async function withContainerizer(
  session: Session,
  work: (containers: Containerizer) => Promise<void>,
  runtime?: RuntimeName,
): Promise<void> {
  try {
    await work(await containerizerOf(session, runtime));
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
    session.exitWith(error.exitStatus);
  }
}

/** The same for commands whose exit status is that of a program: what fails before there is one is told by 125, 126 or 127. */
export async function withProgram(
  session: Session,
  work: (containers: Containerizer) => Promise<void>,
  runtime?: RuntimeName,
): Promise<void> {
  try {
    await withContainerizer(session, work, runtime);
  } catch (error) {
    session.exitWith(statusOfFailure(error));
    throw error;
  }
}

function statusOfFailure(error: unknown): number {
  if (isProvisionerError(error, 'ERR_COMMAND_NOT_FOUND')) return NOT_FOUND;
  return isProvisionerError(error, 'ERR_COMMAND_NOT_EXECUTABLE') ? NOT_EXECUTABLE : OURS;
}

/** As shells and Docker tell it: the code, 128 and the signal, or 125 where nobody knows. */
export function runStatusOf(exit: Exit): number {
  if (exit.code !== undefined) return exit.code;
  return exit.signal === undefined ? OURS : 128 + exit.signal;
}
