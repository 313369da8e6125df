/**
 * The part of the monitor's program by which it is loaded once, and copies itself: a copy takes a tenth of the time that it takes to load it. Each is a child of whoever started the loaded one
 * (CLONE_PARENT), as if he had started it himself. `Starter` asks, and has the protocol from here.
 *
 * Beside that it spares runtimes a wait. Whoever moves a process to another cgroup waits for all processors to have passed a point of rest (a grace period of RCU, some 6 ms), unless somebody has done so in the last
 * 20 ms. A runtime does it after half of its work: so a process is moved to where it is already, as soon as it is known that a runtime will be started.
 * @see CLONE_PARENT in clone(2); pidfd_getfd(2); the kernel's `cgroup_threadgroup_rwsem`, `rcu_sync_enter`
 */
export const STARTER_PROGRAM = String.raw`# Copies itself for whoever started it, as long as that one lives. Each line that comes is a request: what kind it is, the other's descriptors that the copy finds as 0, 1, 2, …, and words.
# Each answer is the copy's number, or the word failed and why: then there is none. The request prime has no answer.
sub serve {
  %set = (%set, @_);
  $0 = 'provisioner-starter';
  # What primes is waited for by nobody.
  $SIG{CHLD} = 'IGNORE';
  prime();
  my $asker = syscall($set{pidfd_open}, getppid(), 0);
  # Who asks is told so, and starts by itself what is to be started.
  if ($asker < 0) {
    my $why = "failed pidfd_open: $!\n";
    my $requests = '';
    while (sysread(STDIN, $requests, 65536, length $requests)) {
      while ($requests =~ s/^(.*)\n//) { syswrite(STDOUT, $why) unless $1 eq 'prime' }
    }
    exit 0;
  }
  # The lowest numbers are taken, so that what is fetched is nowhere where it is to be put.
  my $filler = $asker;
  $filler = syscall($set{dup3}, $asker, $filler + 1, 0) while $filler >= 0 && $filler < 16;
  my $text = '';
  while (1) {
    while ($text !~ /\n/) { sysread(STDIN, $text, 65536, length $text) or exit 0 }
    my $line;
    ($line, $text) = split(/\n/, $text, 2);
    my ($kind, $wanted, @words) = split(/ /, $line);
    if ($kind eq 'prime') { prime(); next }
    for (@words) { s/^=//; s/%([0-9A-F]{2})/chr(hex($1))/ge }
    my $why;
    my @fetched = map { fetched($asker, $_, \$why) } split(/,/, $wanted);
    my $copy = defined $why ? -1 : syscall($set{clone}, 0x8000 | 17, 0, 0, 0, 0);
    if ($copy == 0) { return become($kind, \@fetched, @words) }
    $why //= "clone: $!" if $copy < 0;
    for (@fetched) { syscall($set{close}, $_) if $_ >= 0 }
    syswrite(STDOUT, defined $why ? "failed $why\n" : "$copy\n");
  }
}
# It waits for the kernel in a process of its own, since more may be asked meanwhile.
sub prime {
  return unless defined $set{procs};
  my $child = fork();
  return if !defined $child || $child != 0;
  # Who asks sees by these when the copy has ended.
  close(STDIN);
  close(STDOUT);
  if (sysopen(my $file, $set{procs}, 1)) { syswrite($file, "0\n") }
  exit 0;
}
sub fetched {
  my ($asker, $number, $why) = @_;
  my $got = $number eq '-' ? -2 : syscall($set{pidfd_getfd}, $asker, $number + 0, 0);
  $$why = "pidfd_getfd: $!" if $got == -1;
  return $got;
}
# What stands in the way of it shows where it is read: nobody writes to the pipe that its starter listens to.
sub become {
  my ($kind, $fetched, @words) = @_;
  $SIG{CHLD} = 'DEFAULT';
  syscall($set{setsid});
  for my $target (0 .. $#$fetched) {
    my $source = $fetched->[$target];
    if ($source == -2) {
      # Opened above, since it may have taken the number of what is to be put elsewhere.
      open(my $null, '+<', '/dev/null') or exit 125;
      syscall($set{dup3}, fileno($null), $target, 0);
    } else { syscall($set{dup3}, $source, $target, 0) }
  }
  if (syscall($set{close_range}, scalar @$fetched, 4294967295, 0) != 0) {
    opendir(my $open, '/proc/self/fd') or exit 125;
    my @numbers = grep { /^\d+$/ && $_ >= @$fetched } readdir $open;
    for (@numbers) { syscall($set{close}, $_ + 0) }
  }
  if ($kind eq 'monitor') {
    chdir($words[0]) or exit 125;
    return;
  }
  if ($kind eq 'terminal') {
    my $directory = shift @words;
    chdir($directory) or exit 125;
    run_with_terminal(@words);
  }
  my ($count, @rest) = @words;
  $set{hide} = [splice(@rest, 0, $count)];
  enter();
  exec { $rest[0] } @rest;
  exit 127;
}
`;
