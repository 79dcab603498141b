"""Proves with a generated client: submits a proof as a job, polls the job, downloads the result, verifies it."""

import sys
from io import BytesIO

from snapback_client import Client
from snapback_client.api.calls import prove, verify
from snapback_client.api.jobs import job_result, show_job
from snapback_client.models import Error, Job, JobState, Verified
from snapback_client.types import File

url, circuit, witness = sys.argv[1:]
client = Client(base_url=url, timeout=3600, raise_on_unexpected_status=True)
with open(witness, "rb") as file:
    job = prove.sync(circuit, client=client, body=File(payload=file), async_=True)
assert isinstance(job, Job), job
while job.state in (JobState.QUEUED, JobState.CLAIMED):
    job = show_job.sync(job.id, client=client, wait="5m")
    assert isinstance(job, Job), job
assert job.state == JobState.SUCCEEDED, job
result = job_result.sync(job.id, client=client)
assert isinstance(result, File), result
proof = result.payload.read()
answer = verify.sync(circuit, client=client, body=File(payload=BytesIO(proof)))
assert isinstance(answer, Verified) and answer.valid, answer
refused = verify.sync("nobody", client=client, body=File(payload=BytesIO(proof)))
assert isinstance(refused, Error) and refused.code == "unknown_circuit", refused
sys.stdout.buffer.write(proof)
