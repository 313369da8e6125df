import type { Command } from 'commander';

/** Of commands that change containers. */
export interface OwnerFlags {
  readonly owner?: string;
  readonly anyOwner?: boolean;
}

export function addOwnerFlags(command: Command): void {
  command
    .option('--owner <name>', 'act as this agent, to which new containers belong (default: default)')
    .option('--any-owner', "change another owner's container too; it stays that owner's");
}
