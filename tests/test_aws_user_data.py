"""What user data say is done on a machine of a pretended region: it gets the Python that its image has not."""

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from aws.region import Region
from muster._clouds.aws import user_data as of_machine
from waiting import until

pytestmark = pytest.mark.waits("together")
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
NOWHERE = "python3.98"
"""No image has it, and nobody."""

INSTALLED = "/opt/muster/python/3.98.1"
UV = f"""#!/bin/sh
# Installs this computer's Python elsewhere than it was built for, as uv does; tells its place by way of a link.
case $2 in
install)
    mkdir -p {INSTALLED}/bin {INSTALLED}/lib
    cp {Path(sys.executable).resolve()} {INSTALLED}/bin/{NOWHERE}
    ln -s {sysconfig.get_path("stdlib")} {INSTALLED}/lib/
    ln -s 3.98.1 /opt/muster/python/3.98;;
find) echo /opt/muster/python/3.98/bin/{NOWHERE};;
esac
"""
UV_OF_NO_USE = "#!/bin/sh\n[ $2 = install ] || echo /bin/false\n"
CURL = """#!/bin/sh
cat <<'END'
mkdir -p /opt/muster
cp /run/uv /opt/muster/uv
END
"""
TRY = f"{NOWHERE} -m venv --without-pip /run/v; /run/v/bin/python -c 'import sys; print(sys.base_prefix)' > /run/told"


def launch(region: Region, uv: str) -> Path:
    """Launch a machine that can write where Python is to come, and has stand-ins; wait until it says it is ready."""
    told = json.loads(of_machine.user_data("", lease=600, python=NOWHERE).removeprefix("#cloud-config\n"))
    put = [
        "mount -t tmpfs none /opt; mount -t tmpfs none /usr/local/bin",
        f"cat > /run/uv <<'UV'\n{uv}UV\n",
        f"cat > /usr/local/bin/curl <<'CURL'\n{CURL}CURL\n",
        "chmod 755 /run/uv /usr/local/bin/curl",
    ]
    told["bootcmd"] += [["sh", "-c", one] for one in put]
    told["runcmd"] += [["sh", "-c", TRY]]
    region.client("ec2").run_instances(
        MinCount=1,
        MaxCount=1,
        InstanceType="m7i.large",
        ImageId=region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"],
        UserData=f"#cloud-config\n{json.dumps(told)}\n",
    )
    until(lambda: "runcmd ended" in region.instances()[0].log)
    return Path(region.instances()[0].root)


def test_a_machine_whose_image_has_no_such_python_gets_one_that_environments_can_be_made_with(region: Region) -> None:
    root = launch(region, UV)
    assert (root / "run" / "muster-ready").read_text() == ""
    assert (root / "run" / "told").read_text() == f"{INSTALLED}\n"
    assert not list((root / "run").glob("muster-ready.t*"))


def test_a_python_that_makes_no_environments_is_told_of(region: Region) -> None:
    root = launch(region, UV_OF_NO_USE)
    told = (root / "run" / "muster-ready").read_text()
    assert told.endswith(f"the {NOWHERE} that uv has brought makes no environments\n")


def test_user_data_are_not_more_than_aws_takes() -> None:
    most, host_key = 16 << 10, "x" * 1000  # it has some 400 bytes
    assert len(of_machine.user_data(host_key, lease=31e6, is_spot=True).encode()) <= most
