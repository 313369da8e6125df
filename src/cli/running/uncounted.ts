import type { Launch } from '../../containerizer/index.js';

/** What whoever leaves a container to itself should know of its limit of disk space. */
export const uncounted = ({ reason }: NonNullable<Launch['diskLimit']>): string =>
  `its limit of disk space is kept only while a process watches it, such as an agent or \`provisioner wait\`: ${reason ?? 'there is no quota'}`;
