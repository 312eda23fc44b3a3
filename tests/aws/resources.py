"""The resources of AWS that muster makes, as Pulumi's provider has them: properties in its words, made by EC2's API."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from botocore.exceptions import ClientError

from hosts import until

Client = Any  # botocore makes it out of data
Inputs = Mapping[str, Any]


class Missing(Exception):  # noqa: N818 (no error: a resource may go)
    """There is no such resource any more."""


class EndedEarlyError(Exception):
    """An instance ended before it ran, which is told as the real provider does."""


class Resource(Protocol):
    """A kind of resource: which properties it has, and which of them a change replaces it for."""

    properties: tuple[str, ...]
    replaced_for: tuple[str, ...]
    always_differs: tuple[str, ...]

    def create(self, ec2: Client, inputs: Inputs) -> str: ...
    def read(self, ec2: Client, name: str) -> dict[str, Any]: ...
    def update(self, ec2: Client, name: str, olds: Inputs, news: Inputs) -> None: ...
    def delete(self, ec2: Client, name: str) -> None: ...


class KeyPair:
    properties: tuple[str, ...] = ("keyName", "publicKey", "tags")
    replaced_for: tuple[str, ...] = ("keyName", "publicKey")
    always_differs: tuple[str, ...] = ()

    def create(self, ec2: Client, inputs: Inputs) -> str:
        material = inputs["publicKey"].encode()
        told = ec2.import_key_pair(
            KeyName=inputs["keyName"], PublicKeyMaterial=material, TagSpecifications=tagged("key-pair", inputs)
        )
        return str(told["KeyName"])

    def read(self, ec2: Client, name: str) -> dict[str, Any]:
        (told,) = found(ec2.describe_key_pairs, "KeyPairs", KeyNames=[name])
        return {"id": name, "keyPairId": told["KeyPairId"]}

    def update(self, ec2: Client, name: str, olds: Inputs, news: Inputs) -> None:
        retag(ec2, self.read(ec2, name)["keyPairId"], olds, news)

    def delete(self, ec2: Client, name: str) -> None:
        ec2.delete_key_pair(KeyName=name)


class SecurityGroup:
    properties: tuple[str, ...] = ("name", "description", "vpcId", "ingress", "egress", "revokeRulesOnDelete", "tags")
    replaced_for: tuple[str, ...] = ("name", "description", "vpcId")
    always_differs: tuple[str, ...] = ()

    def create(self, ec2: Client, inputs: Inputs) -> str:
        name = str(
            ec2.create_security_group(
                GroupName=inputs["name"],
                Description=inputs["description"],
                VpcId=inputs["vpcId"],
                TagSpecifications=tagged("security-group", inputs),
            )["GroupId"]
        )
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.revoke_security_group_egress(GroupId=name, IpPermissions=[everything])  # as the real provider does
        self.update(ec2, name, {}, inputs)
        return name

    def read(self, ec2: Client, name: str) -> dict[str, Any]:
        found(ec2.describe_security_groups, "SecurityGroups", GroupIds=[name])
        return {"id": name}

    def update(self, ec2: Client, name: str, olds: Inputs, news: Inputs) -> None:
        for side in ("ingress", "egress"):
            before, after = permissions(name, olds.get(side, ())), permissions(name, news.get(side, ()))
            if gone := [one for one in before if one not in after]:
                getattr(ec2, f"revoke_security_group_{side}")(GroupId=name, IpPermissions=gone)
            if new := [one for one in after if one not in before]:
                getattr(ec2, f"authorize_security_group_{side}")(GroupId=name, IpPermissions=new)
        if olds:
            retag(ec2, name, olds, news)

    def delete(self, ec2: Client, name: str) -> None:
        with suppress(Missing):
            found(ec2.delete_security_group, "Return", GroupId=name)


class LaunchTemplate:
    properties: tuple[str, ...] = (
        *("name", "imageId", "instanceType", "keyName", "userData", "metadataOptions", "blockDeviceMappings"),
        *("instanceInitiatedShutdownBehavior", "tagSpecifications", "vpcSecurityGroupIds", "instanceMarketOptions"),
        *("updateDefaultVersion", "iamInstanceProfile", "tags"),
    )
    replaced_for: tuple[str, ...] = ("name",)
    always_differs: tuple[str, ...] = ()

    def create(self, ec2: Client, inputs: Inputs) -> str:
        told = ec2.create_launch_template(
            LaunchTemplateName=inputs["name"],
            LaunchTemplateData=template(inputs),
            TagSpecifications=tagged("launch-template", inputs),
        )
        return str(told["LaunchTemplate"]["LaunchTemplateId"])

    def read(self, ec2: Client, name: str) -> dict[str, Any]:
        (told,) = found(ec2.describe_launch_templates, "LaunchTemplates", LaunchTemplateIds=[name])
        return {"id": name, "latestVersion": told["LatestVersionNumber"]}

    def update(self, ec2: Client, name: str, olds: Inputs, news: Inputs) -> None:
        ec2.create_launch_template_version(LaunchTemplateId=name, LaunchTemplateData=template(news))
        retag(ec2, name, olds, news)

    def delete(self, ec2: Client, name: str) -> None:
        with suppress(Missing):
            found(ec2.delete_launch_template, "LaunchTemplate", LaunchTemplateId=name)


class Instance:
    properties: tuple[str, ...] = ("launchTemplate", "subnetId", "tags", "volumeTags")
    replaced_for: tuple[str, ...] = ("launchTemplate", "subnetId")
    always_differs: tuple[str, ...] = ("userData",)
    """What stands in the template shows up at the instance, and never as what the program wrote."""

    def create(self, ec2: Client, inputs: Inputs) -> str:
        used = inputs["launchTemplate"]
        told = ec2.run_instances(
            MinCount=1,
            MaxCount=1,
            LaunchTemplate={"LaunchTemplateId": used["id"], "Version": str(used["version"])},
            SubnetId=inputs["subnetId"],
            TagSpecifications=tagged("instance", inputs),
            # moto asks for these even where a template names them
            **{name: value for name, value in self._of_template(ec2, used).items() if value},
        )
        name = str(told["Instances"][0]["InstanceId"])
        until(lambda: self._runs(ec2, name), f"{name} does not run", seconds=600)
        return name

    def _runs(self, ec2: Client, name: str) -> bool:
        told = self._told(ec2, name)
        if (state := told["State"]["Name"]) not in {"pending", "running"}:
            why = f"unexpected state '{state}', wanted target 'running'. last error: {told['StateReason']['Message']}"
            raise EndedEarlyError(f"waiting for EC2 Instance ({name}) create: {why}")
        return bool(state == "running")

    def _told(self, ec2: Client, name: str) -> dict[str, Any]:
        (held,) = found(ec2.describe_instances, "Reservations", InstanceIds=[name])
        (told,) = held["Instances"]
        return dict(told)

    def _of_template(self, ec2: Client, used: Mapping[str, Any]) -> dict[str, Any]:
        (told,) = ec2.describe_launch_template_versions(LaunchTemplateId=used["id"], Versions=[str(used["version"])])[
            "LaunchTemplateVersions"
        ]
        data = told["LaunchTemplateData"]
        market = data.get("InstanceMarketOptions")
        return {"ImageId": data["ImageId"], "InstanceMarketOptions": market, "KeyName": data.get("KeyName")}

    def read(self, ec2: Client, name: str) -> dict[str, Any]:
        told = self._told(ec2, name)
        state = told["State"]["Name"]
        if state in {"terminated", "shutting-down"}:
            raise Missing(f"reading EC2 Instance ({name}): couldn't find resource")
        return {
            "id": name,
            "instanceState": state,
            "instanceType": told["InstanceType"],
            "instanceLifecycle": told.get("InstanceLifecycle", ""),
            "publicIp": told.get("PublicIpAddress", ""),
            "privateIp": told.get("PrivateIpAddress", ""),
            "availabilityZone": told["Placement"]["AvailabilityZone"],
        }

    def update(self, ec2: Client, name: str, olds: Inputs, news: Inputs) -> None:
        retag(ec2, name, olds, news)

    def delete(self, ec2: Client, name: str) -> None:
        with suppress(Missing):
            found(ec2.terminate_instances, "TerminatingInstances", InstanceIds=[name])
            until(lambda: self._is_gone(ec2, name), f"{name} does not end", seconds=600)

    def _is_gone(self, ec2: Client, name: str) -> bool:
        try:
            self.read(ec2, name)
        except Missing:
            return True
        return False


RESOURCES: Mapping[str, Resource] = {
    "aws:ec2/keyPair:KeyPair": KeyPair(),
    "aws:ec2/securityGroup:SecurityGroup": SecurityGroup(),
    "aws:ec2/launchTemplate:LaunchTemplate": LaunchTemplate(),
    "aws:ec2/instance:Instance": Instance(),
}


def found(ask: Any, name: str, **words: object) -> Any:  # noqa: ANN401 (of botocore)
    """Ask for what may not be there. Raises ``Missing``."""
    try:
        return ask(**words).get(name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if "NotFound" in code or "NotExist" in code:
            raise Missing(f"reading it: {error}") from error
        raise


def tagged(kind: str, inputs: Inputs) -> list[dict[str, Any]]:
    tags = [{"Key": name, "Value": value} for name, value in inputs.get("tags", {}).items()]
    volume = [{"Key": name, "Value": value} for name, value in inputs.get("volumeTags", {}).items()]
    found = [{"ResourceType": kind, "Tags": tags}] if tags else []
    return [*found, *([{"ResourceType": "volume", "Tags": volume}] if volume else [])]


def retag(ec2: Client, name: str, olds: Inputs, news: Inputs) -> None:
    before, after = olds.get("tags", {}), news.get("tags", {})
    if gone := [{"Key": one} for one in before if one not in after]:
        ec2.delete_tags(Resources=[name], Tags=gone)
    if new := [{"Key": one, "Value": value} for one, value in after.items() if before.get(one) != value]:
        ec2.create_tags(Resources=[name], Tags=new)


def permissions(group: str, rules: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (it is JSON)
    """Write the rules of a group in EC2's words."""
    return [
        {
            "IpProtocol": rule["protocol"],
            **({} if rule["protocol"] == "-1" else {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]}),
            "IpRanges": [
                {"CidrIp": one, "Description": rule.get("description", "")} for one in rule.get("cidrBlocks", ())
            ],
            "Ipv6Ranges": [{"CidrIpv6": one} for one in rule.get("ipv6CidrBlocks", ())],
            "UserIdGroupPairs": [{"GroupId": group}] if rule.get("self") else [],
        }
        for rule in rules
    ]


def template(inputs: Inputs) -> dict[str, Any]:
    """Write a launch template in EC2's words: they are Pulumi's, each with a capital letter."""
    names = set(LaunchTemplate.properties) - {"name", "updateDefaultVersion", "tags", "vpcSecurityGroupIds"}
    data = {capital(name): capitals(inputs[name]) for name in names if name in inputs}
    data["SecurityGroupIds"] = list(inputs.get("vpcSecurityGroupIds", ()))
    for specification, given in zip(
        data.get("TagSpecifications", ()), inputs.get("tagSpecifications", ()), strict=True
    ):
        specification["Tags"] = [{"Key": name, "Value": value} for name, value in given["tags"].items()]
    for mapping in data.get("BlockDeviceMappings", ()):
        for name in ("Encrypted", "DeleteOnTermination"):
            if name in mapping["Ebs"]:
                mapping["Ebs"][name] = mapping["Ebs"][name] in {True, "true"}  # Pulumi has them as texts
    return data


def capitals(value: Any) -> Any:  # noqa: ANN401 (it is JSON)
    if isinstance(value, Mapping):
        return {capital(name): capitals(one) for name, one in value.items()}
    return [capitals(one) for one in value] if isinstance(value, list) else value


def capital(name: str) -> str:
    return name[:1].upper() + name[1:]
