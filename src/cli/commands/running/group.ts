import type { CommandGroup } from '../command-group.js';

/** Programs that run in containers. In the order of the help. */
export const RUNNING: CommandGroup = {
  run: ['run a program in a new container', () => import('./run.js')],
  create: ['make a container whose program waits to be started', () => import('./create.js')],
  start: ['start what was created, or has ended', () => import('./start.js')],
  restart: ['stop containers and start them again', () => import('./restart.js')],
  exec: ['run a program more in a container', () => import('./exec.js')],
  attach: ["sit down at a program's terminal", () => import('./attach.js')],
  wait: ['wait until containers have ended', () => import('./wait.js')],
  stop: ['ask containers to end, then end them', () => import('./stop.js')],
  kill: ['send a signal to containers', () => import('./kill.js')],
  pause: ['halt containers', () => import('./pause.js')],
  unpause: ['let halted containers go on', () => import('./unpause.js')],
  cp: ['copy files between containers and this machine', () => import('./cp.js')],
  export: ["write a container's root filesystem as an archive", () => import('./export.js')],
  spec: ['print the config.json of a container for another tool', () => import('./spec.js')],
  update: ['change limits of containers', () => import('./update.js')],
};
