import { closeSync, constants, existsSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCode } from '../../base/errors.js';
import type { RuntimeName } from './oci-runtime.js';

/** Where a runtime notes its containers, and so has their gates. */
export interface GatePlace {
  readonly runtime: RuntimeName;
  readonly stateRoot: string;
}

/** Ten seconds for a program to go through, on a machine that has much to do. */
const LOOKS = 10_000;
const PAUSE = 1;

/** A container that is created waits at a named pipe before its program is executed; who opens it takes the pipe away. */
const gateOf = ({ stateRoot }: GatePlace, launchId: string): string => `${stateRoot}/${launchId}/exec.fifo`;

/** Whether a container that was created still waits. */
export const isHeld = (place: GatePlace, launchId: string): boolean => existsSync(gateOf(place, launchId));

/**
 * Lets a container's program go, as the runtime's `start` does, without a process. One that is on its way already, or has ended, is left alone.
 * @returns whether it waited
 * @see crun, `libcrun_status_write_exec_fifo`: it waits for a byte; runc, `libcontainer/standard_init_linux.go`: it writes one, and waits until somebody reads
 */
export async function openGate(place: GatePlace, launchId: string): Promise<boolean> {
  const gate = gateOf(place, launchId);
  let waited = false;
  try {
    waited = place.runtime === 'crun' ? tell(gate) : await hear(gate);
  } catch (error) {
    // Gone: somebody else has opened it. Nobody at it: it has been opened, or what waited has died.
    if (systemCode(error) === 'ENOENT') return false;
    if (systemCode(error) !== 'ENXIO' && systemCode(error) !== 'EPIPE') throw error;
  }
  removeGate(gate);
  return waited;
}

/** Somebody else may have done so. */
function removeGate(gate: string): void {
  try {
    unlinkSync(gate);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function tell(gate: string): boolean {
  const pipe = openSync(gate, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    writeSync(pipe, '0');
    return true;
  } finally {
    closeSync(pipe);
  }
}

async function hear(gate: string): Promise<boolean> {
  const pipe = openSync(gate, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const byte = Buffer.alloc(1);
    for (let looks = 0; looks < LOOKS && existsSync(gate); looks++) {
      if (readSome(pipe, byte)) return true;
      await sleep(PAUSE);
    }
    return false;
  } finally {
    closeSync(pipe);
  }
}

function readSome(pipe: number, into: Buffer): boolean {
  try {
    return readSync(pipe, into) > 0;
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return false;
    throw error;
  }
}
