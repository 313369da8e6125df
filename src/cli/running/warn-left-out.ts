import type { LeftOut } from '../../containerizer/index.js';
import type { Session } from '../session.js';

const WHY = {
  socket: 'it is a socket',
  device: 'it is a device (-a copies those too)',
  kernel: 'what is in it is made up by the kernel',
  attribute: 'its attributes cannot be kept there',
  tmpfs: 'what was in it (tmpfs) went with the end of the program',
  volume: 'what was mounted there is not on this machine any more',
} as const;
/** As many as a copy tells: a program in a container can make any number of them. */
const MOST = 100;

/** What says of each thing that is not copied with the rest that it is not. */
export function leftOutWarnings({ output }: Session): (left: LeftOut) => void {
  let told = 0;
  return ({ path, what }) => {
    if (++told > MOST) return;
    output.warning({ code: 'LEFT_OUT', message: `not copied: ${path}: ${WHY[what]}`, details: { path, what } });
  };
}
