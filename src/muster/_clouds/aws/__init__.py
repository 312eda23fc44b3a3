"""Machines of AWS, made by Pulumi for one cluster. It is loaded only where a cluster of AWS is asked for."""

import os

# Pulumi talks gRPC in this process, which forks to start Ansible: gRPC would act in the fork before that is Ansible.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
