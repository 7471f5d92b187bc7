#!/bin/bash
#SBATCH --job-name={{name}}
#SBATCH --array={{array}}
#SBATCH --output={{log}}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{notice}}
{{directives}}
# {{shards}} shards of the study {{study}}: task i of the array runs shard i/{{shards}}. A part of them again: sbatch --array=3,7 THIS-FILE

echo "$(date +%FT%T) task ${SLURM_ARRAY_TASK_ID:-none} of job ${SLURM_ARRAY_JOB_ID:-none} starts on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"

# Signals of Slurm (time limit, preemption, scancel) come to this shell. It hands them on: the program then saves its work and ends with 75.
{{command}} &
child=$!
trap 'signalled=1; kill -TERM "$child" 2>/dev/null' TERM INT USR1 USR2
while :; do
    signalled=
    wait "$child"
    code=$?
    [[ -n $signalled ]] || break # a signal ends `wait`, not the program
done

echo "$(date +%FT%T) ends with $code"
# Interrupted, not ended: in the queue again. Slurm itself requeues what it preempts, and what is cancelled shall not come back: only while the job
# counts as running is that ours to do (a notice of the time limit, or a preemption that left time to save).
if [[ $code == 75 ]]; then
    case $(scontrol show job --oneliner "${SLURM_JOB_ID:-}" 2>/dev/null) in
    *JobState=RUNNING*) scontrol requeue "$SLURM_JOB_ID" || echo "scontrol requeue did not work; by hand: sbatch --array=${SLURM_ARRAY_TASK_ID:-} THIS-FILE" ;;
    *) echo "Slurm ends this job: it is not requeued from here" ;;
    esac
fi
exit "$code"
